"""Component: train each peer on its own data."""

from kfp import dsl

from components.images import PYTHON_IMAGE


@dsl.component(base_image=PYTHON_IMAGE, install_kfp_package=False)
def pretrain_peers(config_json: str, store: str, partition: dsl.Input[dsl.Dataset], peers: dsl.Output[dsl.Model]):
    """Train each peer on its own data.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        partition: Reference to the partition in the store.
        peers: Reference to the weights of every peer.
    """
    from peerkd.stages import pretrain_peers as stage

    stage.run(config_json=config_json, store=store, partition_path=partition.path, peers_path=peers.path)
