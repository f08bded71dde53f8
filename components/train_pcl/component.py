"""Component: train every architecture by every method with every seed."""

from kfp import dsl

from components.decorators import launched_component


@launched_component
def train_pcl(
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    task_config: dsl.TaskConfig,
    split: dsl.Input[dsl.Dataset],
    runs: dsl.Output[dsl.Model],
):
    """Train every architecture by every method with every seed.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        launch: The launch description as JSON.
        run_id: The id of the run.
        task_config: The task's settings for Kubernetes, which are passed on to the workers.
        split: Reference to the split in the store.
        runs: Reference to the measurements and networks of every run.
    """
    from peerkd.stages.train_pcl import STAGE

    STAGE.run(
        config_json=config_json,
        store=store,
        launch=launch,
        run_id=run_id,
        task_config=task_config,
        input_path=split.path,
        output_path=runs.path,
    )
