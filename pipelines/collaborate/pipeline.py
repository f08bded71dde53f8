"""Rounds: divide the data, train the peers, let them train and exchange in rounds, and report."""

from kfp import dsl

from components.partition_data import partition_data
from components.train_and_report import train_and_report
from pipelines.pods import in_its_own_pod, launching


@dsl.pipeline(name="collaborate", description="Rounds of training and exchange between pre-trained peers.")
def collaborate(
    preset: str = "",
    overrides: str = "",
    config_json: str = "",
    store: str = "s3://peerkd/runs",
    backend: str = "auto",
    num_workers: str = "",
    gpus: str = "",
    cluster: str = "",
) -> str:
    """Run one experiment from data to report.

    Args:
        preset: Name of a preset: digits. If empty: digits, or none if config_json is given.
        overrides: key=value pairs separated by spaces, as in "seed=3 rounds.num_rounds=5".
        config_json: An experiment as YAML or JSON. Fields that it omits have the values of the preset.
        store: Address of the artifact store: s3://bucket/prefix, or a folder that all pods share.
        backend: Where networks are trained: kubernetes, local, or auto (kubernetes on a cluster, else local).
        num_workers: Number of pods of each job. Empty: the cluster's default, or 1.
        gpus: Number of GPUs of each pod. Empty: the setting of the task or the cluster, or 0.
        cluster: Settings of the jobs, as in "memory_per_worker=16Gi queue=research"; see docs/cluster.md.

    Returns:
        The key of the report in the store.
    """
    divided = in_its_own_pod(
        partition_data(
            pipeline="collaborate",
            preset=preset,
            config_json=config_json,
            overrides=overrides,
            strategy="sweep",
            store=store,
            backend=backend,
            num_workers=num_workers,
            gpus=gpus,
            cluster=cluster,
        )
    )
    finished = launching(
        train_and_report(
            pipeline="collaborate",
            strategy="",
            config_json=divided.outputs["config"],
            store=store,
            launch=divided.outputs["launch"],
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            division=divided.outputs["partition"],
        )
    )
    return finished.outputs["Output"]
