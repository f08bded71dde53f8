"""Component: every ordered pair distils under every setting of the sweep."""

from kfp import dsl

from components.images import PYTHON_IMAGE


@dsl.component(base_image=PYTHON_IMAGE, install_kfp_package=False)
def distill_pairs(config_json: str, store: str, peers: dsl.Input[dsl.Model], trials: dsl.Output[dsl.Dataset]):
    """Let every ordered pair distil under every setting of the sweep.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        peers: Reference to the weights of every peer.
        trials: Reference to the table of trials.
    """
    from peerkd.stages import distill_pairs as stage

    stage.run(config_json=config_json, store=store, peers_path=peers.path, trials_path=trials.path)
