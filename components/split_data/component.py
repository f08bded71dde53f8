"""Component: read the data set and hold out its validation and test sets."""

from typing import NamedTuple

from kfp import dsl

from components.decorators import component


@component
def split_data(
    preset: str,
    config_json: str,
    overrides: str,
    store: str,
    backend: str,
    num_workers: str,
    gpus: str,
    cluster: str,
    split: dsl.Output[dsl.Dataset],
) -> NamedTuple("Resolved", [("config", str), ("launch", str)]):
    """Read the data set and hold out its validation and test sets.

    Args:
        preset: Name of a preset. If empty: digits, or none if config_json is given.
        config_json: A study as YAML or JSON on top of the preset, or empty.
        overrides: key=value pairs separated by spaces, as in "seed=3 methods=[plain,pcl]".
        store: Address of the artifact store.
        backend: Where later tasks do their work: auto, local or kubernetes.
        num_workers: Number of pods of each job.
        gpus: Number of GPUs of each pod.
        cluster: Settings of the jobs as key=value pairs, as in "memory_per_worker=16Gi queue=research".
        split: Reference to the split in the store.

    Returns:
        The whole study and the launch description, both as JSON with every default written out.
    """
    from peerkd.stages import split_data as stage

    return stage.run(
        preset=preset,
        config_json=config_json,
        overrides=overrides,
        store=store,
        backend=backend,
        num_workers=num_workers,
        gpus=gpus,
        cluster=cluster,
        output_path=split.path,
    )
