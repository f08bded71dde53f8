"""Joint distillation: divide the data, train the peers, distil every pair, publish better peers, and report."""

from kfp import dsl
from kfp.dsl import PipelineTask

from components.build_report import build_report
from components.distill_pairs import distill_pairs
from components.improve_peers import improve_peers
from components.partition_data import partition_data
from components.pretrain_peers import pretrain_peers
from components.report_choices import report_choices
from components.tune_pairs import tune_pairs
from pipelines.pods import in_its_own_pod, launching


def _improving(task: PipelineTask) -> PipelineTask:
    """Prepare the task that publishes better peers, and set its display name.

    The pipeline contains this task twice, once for each strategy. Without a display name, the compiler would number the
    second task.
    """
    return launching(task).set_display_name(improve_peers.name)


@dsl.pipeline(name="jointkd", description="Joint knowledge distillation between pre-trained peers.")
def jointkd(
    preset: str = "",
    overrides: str = "",
    config_json: str = "",
    store: str = "s3://peerkd/runs",
    strategy: str = "sweep",
    backend: str = "auto",
    num_workers: str = "",
    gpus: str = "",
    cluster: str = "",
) -> str:
    """Run one experiment from data to report.

    Args:
        preset: Name of a preset: digits, cifar10_small or poster.
            If empty: digits, or none if config_json is given.
        overrides: key=value pairs separated by spaces, as in "seed=3 sweep.alphas=[0.5,0.9]".
        config_json: An experiment as YAML or JSON. Fields that it omits have the values of the preset.
        store: Address of the artifact store: s3://bucket/prefix, or a folder that all pods share.
        strategy: How settings are chosen: sweep (every setting for every pair) or tune (suggestions of a tuner).
        backend: Where networks are trained: kubernetes, local, or auto (kubernetes on a cluster, else local).
        num_workers: Number of pods of each job. If empty, the cluster's default, or else 1.
        gpus: Number of GPUs of each pod. If empty, the setting of the task or the cluster, or else 0.
        cluster: Settings of the jobs, as in "memory_per_worker=16Gi queue=research"; see docs/cluster.md.

    Returns:
        The key of the report in the store.
    """
    divided = in_its_own_pod(
        partition_data(
            pipeline="jointkd",
            preset=preset,
            config_json=config_json,
            overrides=overrides,
            strategy=strategy,
            store=store,
            backend=backend,
            num_workers=num_workers,
            gpus=gpus,
            cluster=cluster,
        )
    )
    resolved = {"config_json": divided.outputs["config"], "store": store}
    launched = {**resolved, "launch": divided.outputs["launch"], "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
    trained = launching(pretrain_peers(**launched, partition=divided.outputs["partition"]))
    with dsl.If(strategy == "tune"):
        tuned = launching(tune_pairs(**launched, peers=trained.outputs["peers"]))
        improved = _improving(improve_peers(**launched, trials=tuned.outputs["study"]))
        chosen = in_its_own_pod(report_choices(**resolved, improved=improved.outputs["improved"]))
    with dsl.Else():
        distilled = launching(distill_pairs(**launched, peers=trained.outputs["peers"]))
        improved = _improving(improve_peers(**launched, trials=distilled.outputs["trials"]))
        reported = in_its_own_pod(build_report(**resolved, improved=improved.outputs["improved"]))
    return dsl.OneOf(chosen.outputs["Output"], reported.outputs["Output"])
