"""Component: read the data set and divide it among the peers."""

from typing import NamedTuple

from kfp import dsl

from components.decorators import component


@component
def partition_data(
    pipeline: str,
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
    """Read the data set and divide it among the peers.

    Args:
        pipeline: Name of the pipeline whose first task this is: jointkd or collaborate.
        preset: Name of a preset. If empty: digits, or none if config_json is given.
        config_json: An experiment as YAML or JSON on top of the preset, or empty.
        overrides: key=value pairs separated by spaces, as in "seed=3 partition.num_peers=5".
        strategy: How settings are chosen: sweep or tune. It has no effect on collaborate.
        store: Address of the artifact store.
        backend: Where later tasks do their work: auto, local or kubernetes.
        num_workers: Number of pods of each job.
        gpus: Number of GPUs of each pod.
        cluster: Settings of the jobs as key=value pairs, as in "memory_per_worker=16Gi queue=research".
        partition: Reference to the partition in the store.

    Returns:
        The whole experiment and the launch description, both as JSON with every default written out.
    """
    from peerkd.stages import partition_data as stage

    return stage.run(
        pipeline=pipeline,
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
