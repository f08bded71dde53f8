"""Component: read the data set, and divide it among the peers."""

from typing import NamedTuple

from kfp import dsl

from components.decorators import component


@component
def partition_data(
    preset: str,
    config_json: str,
    overrides: str,
    strategy: str,
    store: str,
    backend: str,
    num_workers: str,
    gpus: str,
    cluster: str,
    partition: dsl.Output[dsl.Dataset],
) -> NamedTuple("Resolved", [("config", str), ("launch", str)]):
    """Read the data set, and divide it among the peers.

    Args:
        preset: Name of a preset; the default where config_json is given.
        config_json: A whole experiment as JSON, or empty.
        overrides: key=value pairs separated by white space, as in "seed=3 partition.num_peers=5".
        strategy: How settings will be found: sweep or tune.
        store: Address of the artifact store.
        backend: Where the work of later tasks is done: auto, local or kubernetes.
        num_workers: Pods of each job.
        gpus: GPUs of each of those pods.
        cluster: key=value pairs for the jobs, as in "memory_per_worker=16Gi queue=research".
        partition: Reference to the partition in the store.

    Returns:
        The whole experiment, and the launch description for later tasks: JSON with every default written out.
    """
    from peerkd.stages import partition_data as stage

    return stage.run(
        preset=preset,
        config_json=config_json,
        overrides=overrides,
        strategy=strategy,
        store=store,
        backend=backend,
        num_workers=num_workers,
        gpus=gpus,
        cluster=cluster,
        output_path=partition.path,
    )
