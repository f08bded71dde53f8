"""Component: train each peer on its own data."""

from kfp import dsl

from components.decorators import launched_component


@launched_component
def pretrain_peers(
    config_json: str,
    store: str,
    launch: str,
    run_id: str,
    task_config: dsl.TaskConfig,
    partition: dsl.Input[dsl.Dataset],
    peers: dsl.Output[dsl.Model],
):
    """Train each peer on its own data.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        launch: The launch description as JSON.
        run_id: The id of the run.
        task_config: The task's settings for Kubernetes, which are passed on to the workers.
        partition: Reference to the partition in the store.
        peers: Reference to the weights of every peer.
    """
    from peerkd.stages.pretrain_peers import STAGE

    STAGE.run(
        config_json=config_json,
        store=store,
        launch=launch,
        run_id=run_id,
        task_config=task_config,
        input_path=partition.path,
        output_path=peers.path,
    )
