"""Component: publish the network that each student should have from now on, as a sweep or a tuned study advises."""

from kfp import dsl

from components.decorators import launched_component


@launched_component
def improve_peers(
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    task_config: dsl.TaskConfig,
    trials: dsl.Input[dsl.Dataset],
    improved: dsl.Output[dsl.Model],
):
    """Publish the network that each student should have from now on, as a sweep or a tuned study advises.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        launch: The launch description as JSON.
        run_id: The id of the run.
        task_config: The task's settings for Kubernetes, which are passed on to the workers.
        trials: Reference to the table of trials, or to the choices of a tuned study.
        improved: Reference to the networks of the students and their model cards.
    """
    from peerkd.stages.improve_peers import STAGE

    STAGE.run(
        config_json=config_json,
        store=store,
        launch=launch,
        run_id=run_id,
        task_config=task_config,
        input_path=trials.path,
        output_path=improved.path,
    )
