"""Peer collaborative learning: split the data, train every network by every method, compare the methods."""

from kfp import dsl

from components.compare_methods import compare_methods
from components.split_data import split_data
from components.train_pcl import train_pcl
from pipelines.pods import in_its_own_pod, launching


@dsl.pipeline(name="pcl", description="Peer collaborative learning, beside its rivals and controls.")
def pcl(
    preset: str = "digits",
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
        preset: Name of a preset: digits, cifar10_small, cifar100_resnet32, imagenet; "peerkd config presets" has all.
        overrides: key=value pairs separated by spaces, as in "seed=3 methods=[plain,pcl]".
        config_json: A whole study as JSON, in place of a preset.
        store: Address of the artifact store: s3://bucket/prefix, or a folder that all pods share.
        backend: Where networks are trained: auto (PyTorchJobs on a cluster, processes elsewhere), kubernetes or local.
        num_workers: Pods of the job. Empty: 1, or what the cluster's own settings say.
        gpus: GPUs of each of those pods. Empty: what is set on the task or by the cluster, else none.
        cluster: key=value pairs for the job, as in "memory_per_worker=16Gi queue=research"; docs/cluster.md has all.

    Returns:
        Key of the report in the store.
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
    resolved = {"config_json": divided.outputs["config"], "store": store}
    launched = {**resolved, "launch": divided.outputs["launch"], "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
    trained = launching(train_pcl(**launched, split=divided.outputs["split"]))
    compared = in_its_own_pod(compare_methods(**resolved, runs=trained.outputs["runs"]))
    return compared.outputs["Output"]
