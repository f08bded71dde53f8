"""Component: read the data set, and divide it among the peers."""

from kfp import dsl

from components.images import CONTROL_IMAGE


@dsl.component(base_image=CONTROL_IMAGE, install_kfp_package=False)
def partition_data(
    preset: str,
    config_json: str,
    overrides: str,
    strategy: str,
    store: str,
    partition: dsl.Output[dsl.Dataset],
) -> str:
    """Read the data set, and divide it among the peers.

    Args:
        preset: Name of a preset; the default where config_json is given.
        config_json: A whole experiment as JSON, or empty.
        overrides: key=value pairs separated by white space, as in "seed=3 partition.num_peers=5".
        strategy: How settings will be found, checked before anything runs: sweep or tune.
        store: Address of the artifact store.
        partition: Reference to the partition in the store.

    Returns:
        The whole experiment as JSON, every default written out.
    """
    from peerkd.stages import partition_data as stage

    return stage.run(
        preset=preset,
        config_json=config_json,
        overrides=overrides,
        strategy=strategy,
        store=store,
        partition_path=partition.path,
    )
