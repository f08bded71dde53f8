"""Stage: train every architecture by every method from every seed, PCL and its rivals alike."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.pcl import PclConfig
from peerkd.launch.edge import stage_edge
from peerkd.stages.launched import LaunchOptions, obtain
from peerkd.stages.opened_store import open_stage_store

NAME: Final = "train_pcl"
CURVES_NAME: Final = "curves.parquet"
NETWORKS_FOLDER: Final = "networks"


def run(
    *,
    config_json: str,
    store: str,
    split_path: str,
    runs_path: str,
    backend: str = "auto",
    num_workers: str = "",
    gpus: str = "",
    cluster: str = "",
    run_id: str = "",
    task_id: str = "",
    task_config: Any = None,
) -> None:
    """Have published what every run measured, and the networks that it trained.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        split_path: File with the reference to the split.
        runs_path: File that takes the reference to the runs.
        backend: What carries out the work: ``auto``, ``local`` or ``kubernetes``.
        num_workers: A whole number as text; empty, where the cluster's defaults say it.
        gpus: GPUs of each worker, likewise.
        cluster: ``key=value`` pairs for the workers; see ``peerkd.config.cluster``.
        run_id: Tells one run from another.
        task_id: Tells one task of a run from another.
        task_config: What a pipeline's author has set on the task.
    """
    with stage_edge(NAME):
        opened = open_stage_store(NAME, store)
        split = references.follow_file(split_path, opened)
        config = PclConfig.from_json(config_json)
        manifest = obtain(
            key(config, split),
            stage=NAME,
            config_json=config_json,
            address=store,
            store=opened,
            inputs={"split": split},
            summary=summary,
            options=LaunchOptions(
                backend=backend,
                num_workers=num_workers,
                gpus=gpus,
                cluster=cluster,
                run_id=run_id,
                task_id=task_id,
                task_config=task_config,
            ),
            num_processes=config.training.num_processes,
        )
        references.write(runs_path, manifest)


def key(config: PclConfig, split: Manifest) -> str:
    """Return the key of the runs that follow from a config and a split."""
    differences = keys.differences(
        config,
        fields=(
            *("seed", "num_seeds", "augmentation", "architectures", "methods", "collaboration", "training"),
            "evaluation",
        ),
        without=("evaluation.baseline",),
    )
    return keys.key(NAME, {"split": split.fingerprint, "config": differences})


def summary(metadata: Mapping[str, Any]) -> str:
    """Return in a few words what there is."""
    num_diverged = num_diverged_runs(metadata["runs"])
    diverged = f"{num_diverged:,} of them diverged, " if num_diverged else ""
    return f"{len(metadata['runs']):,} runs, {diverged}fingerprint {metadata['fingerprint'][:16]}"


def num_diverged_runs(runs: Sequence[Mapping[str, Any]]) -> int:
    """Return how many runs diverged, by their records; those of an older version count as finite."""
    return sum(not run.get("is_finite", True) for run in runs)


def check_any_finite(runs: Sequence[Mapping[str, Any]], *, learning_rate: float) -> None:
    """Refuse runs that leave nothing to report.

    Raises:
        ValueError: If all of them diverged.
    """
    if num_diverged_runs(runs) == len(runs):
        raise ValueError(
            f"All {len(runs):,} runs diverged, where at least one must end in finite numbers: lower "
            f"training.learning_rate, which is {learning_rate:g}."
        )
