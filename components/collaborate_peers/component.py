"""Component: let the peers train in rounds and exchange what they learned, by every method."""

from kfp import dsl

from components.decorators import launched_component


@launched_component
def collaborate_peers(
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    task_config: dsl.TaskConfig,
    peers: dsl.Input[dsl.Model],
    rounds: dsl.Output[dsl.Model],
):
    """Let the peers train in rounds and exchange what they learned, by every method.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        launch: The launch description as JSON.
        run_id: The id of the run.
        task_config: The task's settings for Kubernetes, which are passed on to the workers.
        peers: Reference to the weights of every peer.
        rounds: Reference to the measurements of every round, and to the networks after the last one.
    """
    from peerkd.stages.collaborate_peers import STAGE

    STAGE.run(
        config_json=config_json,
        store=store,
        launch=launch,
        run_id=run_id,
        task_config=task_config,
        input_path=peers.path,
        output_path=rounds.path,
    )
