"""Component: choose a setting for every ordered pair with a tuner, for a fraction of the cost of the full sweep."""

from kfp import dsl

from components.decorators import launched_component


@launched_component
def tune_pairs(
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    task_config: dsl.TaskConfig,
    peers: dsl.Input[dsl.Model],
    study: dsl.Output[dsl.Dataset],
):
    """Choose a setting for every ordered pair with a tuner, for a fraction of the cost of the full sweep.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        launch: The launch description as JSON.
        run_id: The id of the run.
        task_config: The task's settings for Kubernetes, which are passed on to the workers.
        peers: Reference to the weights of every peer.
        study: Reference to the choices and their trials.
    """
    from peerkd.stages.tune_pairs import STAGE

    STAGE.run(
        config_json=config_json,
        store=store,
        launch=launch,
        run_id=run_id,
        task_config=task_config,
        input_path=peers.path,
        output_path=study.path,
    )
