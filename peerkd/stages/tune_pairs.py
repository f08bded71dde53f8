"""Stage: a tuner chooses what every ordered pair distils under, for a share of what trying everything costs."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from peerkd.artifacts import keys, references
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.launch.edge import stage_edge
from peerkd.stages.launched import LaunchOptions, obtain
from peerkd.stages.opened_store import open_stage_store

NAME: Final = "tune_pairs"
TRIALS_NAME: Final = "trials.parquet"
CHOICES_NAME: Final = "choices.parquet"
CURVE_NAME: Final = "curve.parquet"
FEATURES_NAME: Final = "features.parquet"
TUNER: Final = "peerkd"
"""Name of the tuner in keys and metadata."""


def run(
    *,
    config_json: str,
    store: str,
    peers_path: str,
    study_path: str,
    backend: str = "auto",
    num_workers: str = "",
    gpus: str = "",
    cluster: str = "",
    run_id: str = "",
    task_id: str = "",
    task_config: Any = None,
) -> None:
    """Have the tuned study published.

    Args:
        config_json: The whole experiment as JSON.
        store: Address of the artifact store.
        peers_path: File with the reference to the pre-trained peers.
        study_path: File that takes the reference to the study.
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
        peers = references.follow_file(peers_path, opened)
        manifest = obtain(
            key(ExperimentConfig.from_json(config_json), peers),
            stage=NAME,
            config_json=config_json,
            address=store,
            store=opened,
            inputs={"peers": peers},
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
        )
        references.write(study_path, manifest)


def key(config: ExperimentConfig, peers: Manifest) -> str:
    """Return the key of the study that follows from a config and the peers.

    The version of the program is part of it, since what a tuner asks for follows from how it is written.
    """
    differences = keys.differences(
        config,
        fields=("seed", "augmentation", "distill", "sweep", "tune"),
        without=(
            "sweep.validate_every_epoch",  # It has no effect on a tuned study.
            *("sweep.selection_metric", "sweep.default_transfer_set", "tune.own_weight"),  # Resolved below.
        ),
    )
    return keys.key(
        NAME,
        {
            "peers": peers.fingerprint,
            "config": differences,
            "own_weight": config.resolved_own_weight,
            "default_transfer_set": config.sweep.resolved_default_transfer_set,
            "tuner": TUNER,
            "peerkd": version("peerkd"),
        },
    )


def summary(metadata: Mapping[str, Any]) -> str:
    """Return in a few words what there is."""
    num_diverged = metadata.get("num_diverged", 0)
    diverged = f" ({num_diverged:,} diverged)" if num_diverged else ""
    return (
        f"{metadata['num_trials']:,} trials{diverged} for {metadata['spent_share']:.2%} of the full sweep's cost, "
        f"fingerprint {metadata['fingerprint'][:16]}"
    )
