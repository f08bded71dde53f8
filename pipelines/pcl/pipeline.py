"""Peer collaborative learning: split the data, train networks by every method, and compare the methods."""

from kfp import dsl

from components.split_data import split_data
from components.train_and_report import train_and_report
from pipelines.pods import in_its_own_pod, launching


@dsl.pipeline(name="pcl", description="Peer collaborative learning, compared with rival methods and controls.")
def pcl(
    preset: str = "",
    overrides: str = "",
    config_json: str = "",
    store: str = "s3://peerkd/runs",
    backend: str = "auto",
    num_workers: str = "",
    gpus: str = "",
    cluster: str = "",
) -> str:
    """Run one study from data to report.

    Args:
        preset: Name of a preset, such as imagenet. If empty: digits, or none if config_json is given.
        overrides: key=value pairs separated by spaces, as in "seed=3 methods=[plain,pcl]".
        config_json: A study as YAML or JSON. Fields that it omits have the values of the preset.
        store: Address of the artifact store: s3://bucket/prefix, or a folder that all pods share.
        backend: Where networks are trained: kubernetes, local, or auto (kubernetes on a cluster, else local).
        num_workers: Number of pods of the job. If empty, the cluster's default, or else 1.
        gpus: Number of GPUs of each pod. If empty, the setting of the task or the cluster, or else 0.
        cluster: Settings of the jobs, as in "memory_per_worker=16Gi queue=research"; see docs/cluster.md.

    Returns:
        The key of the report in the store.
    """
    divided = in_its_own_pod(
        split_data(
            preset=preset,
            config_json=config_json,
            overrides=overrides,
            store=store,
            backend=backend,
            num_workers=num_workers,
            gpus=gpus,
            cluster=cluster,
        )
    )
    finished = launching(
        train_and_report(
            pipeline="pcl",
            strategy="",
            config_json=divided.outputs["config"],
            store=store,
            launch=divided.outputs["launch"],
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            division=divided.outputs["split"],
        )
    )
    return finished.outputs["Output"]
