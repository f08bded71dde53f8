"""A whole pipeline in the calling process, for a debugger, a profiler or a notebook.

The same stages run as in the compiled pipeline, and publish the same artifacts. A run that one of the two started can
therefore be finished by the other.
"""

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
                partition = partition_data.partition(config, opened, strategy=strategy or "sweep", num_processes=0)
                peers = pretrain_peers.STAGE.make(config, partition, opened)
                if strategy == "tune":
                    study = tune_pairs.STAGE.make(config, peers, opened)
                    improved = improve_peers.STAGE.make(config, study, opened)
                    return report_choices.STAGE.make(config, improved, opened).key
                trials = distill_pairs.STAGE.make(config, peers, opened)
                improved = improve_peers.STAGE.make(config, trials, opened)
                return build_report.STAGE.make(config, improved, opened).key
            case CollaborateConfig():
                partition = partition_data.partition(config, opened, num_processes=0)
                peers = pretrain_peers.STAGE.make(config, partition, opened)
                rounds = collaborate_peers.STAGE.make(config, peers, opened)
                return report_rounds.STAGE.make(config, rounds, opened).key
            case PclConfig():
                split = split_data.split(config, opened)
                runs = train_pcl.STAGE.make(config, split, opened)
                return compare_methods.STAGE.make(config, runs, opened).key
    raise AssertionError(type(config))
