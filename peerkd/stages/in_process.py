"""A whole pipeline in the calling process, for a debugger, a profiler or a notebook.

The same stages run as in the compiled pipeline, and publish the same artifacts. A run that one of the two started can
therefore be finished by the other.
"""

from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.strict import StrictConfig
from peerkd.launch.exit_codes import exiting_on_sigterm
from peerkd.stages import (
    build_report,
    collaborate_peers,
    compare_methods,
    distill_pairs,
    improve_peers,
    partition_data,
    pretrain_peers,
    report_choices,
    report_rounds,
    split_data,
    train_pcl,
    tune_pairs,
)
from peerkd.stages.opened_store import open_stage_store


def run_in_process(config: StrictConfig, store: str, *, strategy: str | None = None) -> str:
    """Run every stage of an experiment or a study, and return the key of its report.

    Args:
        config: An experiment on pairs, an experiment with rounds, or a study of PCL.
        store: The address of the artifact store.
        strategy: ``sweep`` or ``tune``. None means ``sweep``.

    Raises:
        ValueError: If the user can fix the cause.
        PeerKDError: If a stage fails for another reason.
    """
    opened = open_stage_store("run", store)
    with exiting_on_sigterm():
        match config:
            case ExperimentConfig():
                improved = [_improve(study, opened, strategy=strategy) for study in config.studies]
                report = report_choices.STAGE if strategy == "tune" else build_report.STAGE
                return report.make_all(config, improved, opened).key
            case CollaborateConfig():
                rounds = [_collaborate(study, opened) for study in config.studies]
                return report_rounds.STAGE.make_all(config, rounds, opened).key
            case PclConfig():
                split = split_data.split(config, opened)
                runs = train_pcl.STAGE.make(config, split, opened)
                return compare_methods.STAGE.make(config, runs, opened).key
    raise AssertionError(type(config))


def _improve(config: ExperimentConfig, store: ArtifactStore, *, strategy: str | None) -> Manifest:
    partition = partition_data.partition(config, store, strategy=strategy or "sweep", num_processes=0)
    peers = pretrain_peers.STAGE.make(config, partition, store)
    trials = (tune_pairs.STAGE if strategy == "tune" else distill_pairs.STAGE).make(config, peers, store)
    return improve_peers.STAGE.make(config, trials, store)


def _collaborate(config: CollaborateConfig, store: ArtifactStore) -> Manifest:
    partition = partition_data.partition(config, store, num_processes=0)
    peers = pretrain_peers.STAGE.make(config, partition, store)
    return collaborate_peers.STAGE.make(config, peers, store)
