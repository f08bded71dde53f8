"""A finished sweep or tuned study: its trials, the artifacts from which they were computed, and the config."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.metrics.progress import print_line
from peerkd.results.reproduction import differing_columns, find_row
from peerkd.results.table import mapped_table
from peerkd.stages import distill_pairs, pretrain_peers, tune_pairs
from peerkd.stages.improve_peers import is_tuned
from peerkd.stages.journals import Record
from peerkd.study.objective import Objective, objective_of
from peerkd.study.trials import record_identity
from peerkd.training.inputs import SweepInputs


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedStudy:
    """A finished sweep or tuned study, with the artifacts from which its trials were computed."""

    config: ExperimentConfig
    """The config with which the trials were trained. With this config, a repeated training records the same values as
    the trial did, so that both can be compared."""

    trials: Manifest
    peers: Manifest
    partition: Manifest
    dataset: Manifest

    @property
    def is_tuned(self) -> bool:
        """Whether a tuner has chosen the trials. If not, the study is a full sweep."""
        return is_tuned(self.trials)

    @property
    def objective(self) -> Objective:
        """The objective that the choices of the study maximise on validation data."""
        return self.config.objective if self.is_tuned else objective_of(self.config.sweep.selection_metric)

    @property
    def students(self) -> tuple[int, ...]:
        """The peers that take part, ascending."""
        return pretrain_peers.finite_peers(self.peers.metadata["peers"])

    @contextmanager
    def open_table(self, store: ArtifactStore) -> Iterator[pa.Table]:
        """Open the table of trials for the ``with`` block, as a memory-mapped file."""
        name = tune_pairs.TRIALS_NAME if self.is_tuned else distill_pairs.TABLE_NAME
        with mapped_table(store.fetch(self.trials.key) / name) as table:
            yield table

    def sweep_inputs(self, store: ArtifactStore, *, device: str, states_folder: Path) -> SweepInputs:
        """Return inputs with which a trial of the study can be trained again.

        On the same kind of device, its result is the same as in the study, to the last bit.
        """
        return SweepInputs(
            config=self.config,
            dataset_folder=store.fetch(self.dataset.key),
            partition_folder=store.fetch(self.partition.key),
            peers_folder=store.fetch(self.peers.key),
            finite_peers=self.students,
            device=device,
            states_folder=states_folder,
        )


def judged_study(config: ExperimentConfig, trials: Manifest, store: ArtifactStore) -> JudgedStudy:
    """Return a study, given its config and the artifact with its trials.

    For a tuned study, ``sweep.validate_every_epoch`` of the returned config is set if the study chooses the epoch to
    stop after, and not set otherwise.
    """
    if is_tuned(trials):
        sweep = config.sweep.model_copy(update={"validate_every_epoch": config.tune.chooses_epochs})
        config = config.model_copy(update={"sweep": sweep})
    peers = references.follow(trials.metadata["inputs"]["peers"], store)
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    return JudgedStudy(config=config, trials=trials, peers=peers, partition=partition, dataset=dataset)


def is_reproduced(record: Record, trials: pa.Table, *, name: str, stage: str) -> bool | None:
    """Return whether a repeated training has ended with the same values as in the study.

    The result is None if there is nothing to compare.

    Args:
        record: The record that ``peerkd.training.improve.improve`` returned.
        trials: The table of trials of the study.
        name: The name of the student, for a warning if values differ.
        stage: The name of the stage, for the same warning.
    """
    trial = record["trial"]
    row = None if trial is None else find_row(trials, record_identity(trial))
    differing = None if row is None else differing_columns(trial, row)
    if differing:
        # A GPU of another kind, or other software, may round differently. The student is written with the accuracies
        # that it has, and its card says so.
        print_line(
            stage,
            f"warning: student {name} does not end in the bits that were judged: {', '.join(differing[:3])} differ",
        )
    return None if differing is None else not differing
