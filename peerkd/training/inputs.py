"""What a worker process opens, as paths: cheap to hand over, and known without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig, Run
from peerkd.study.trials import Trial, Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainInputs:
    """For pre-training the peers."""

    config: ExperimentConfig
    dataset_folder: Path
    partition_folder: Path

    weights_folder: Path
    """Takes the weights of the finished peers."""

    checkpoints_folder: Path
    """Holds what an interrupted training goes on from."""

    device: str
    """``cpu``, or ``cuda`` for the GPU of the worker's number."""

    def weights(self, peer: int) -> Path:
        """Return the file that takes a peer's weights."""
        return self.weights_folder / f"{peer_name(peer)}.safetensors"

    def checkpoint(self, peer: int) -> Path:
        """Return the file that an interrupted training of a peer goes on from."""
        return self.checkpoints_folder / f"{peer_name(peer)}.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepInputs:
    """For the trials of the sweep."""

    config: ExperimentConfig
    dataset_folder: Path
    partition_folder: Path
    peers_folder: Path
    device: str
    """``cpu``, or ``cuda`` for the GPU of the worker's number."""

    states_folder: Path | None = None
    """Takes where each trial stands at the end of a leg, and has what legs go on from. None: legs are whole trials."""

    finite_peers: tuple[int, ...] | None = None
    """The peers that have weights, ascending. None: all, since no pre-training diverged."""

    @property
    def peers(self) -> Sequence[int]:
        """The peers that take part, ascending."""
        return range(self.config.partition.num_peers) if self.finite_peers is None else self.finite_peers


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """Some of the epochs of each trial of a unit. Legs, one after another, end in what whole trials end in."""

    unit: Unit
    first_epoch: int
    """Counted from 0. Where it is not 0, the trials have been done up to here."""

    last_epoch: int
    """The epochs done at the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LegsTogether:
    """Legs of several teachers on one transfer set over the same epochs: one student may stand beside another's."""

    legs: tuple[Leg, ...]


def state_name(trial: Trial, *, num_epochs: int) -> str:
    """Return the name of the file that has the state of a trial after so many epochs."""
    teacher = "none" if trial.teacher is None else f"{trial.teacher:04d}"
    temperature = "none" if trial.setting.temperature is None else repr(trial.setting.temperature)
    setting = f"{temperature}-{trial.setting.alpha!r}"
    if trial.setting.learning_rate is not None:
        setting += f"-{trial.setting.learning_rate!r}"
    return f"{trial.student:04d}-{teacher}-{trial.transfer_set}-{setting}-{num_epochs}.safetensors"


class WayTaken(NamedTuple):
    """A worker has measured how a kind of work is done fastest."""

    kind: str
    text: str
    """What it has chosen, for people."""


class EpochDone(NamedTuple):
    """A peer has finished an epoch of its pre-training."""

    peer: int
    num_epochs: int
    """Finished so far."""

    num_samples: int
    """Of an epoch."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """That the training takes, and the most that it took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputs:
    """For the runs of a comparison of methods."""

    config: PclConfig
    dataset_folder: Path
    split_folder: Path

    networks_folder: Path
    """Takes the networks of the finished runs."""

    checkpoints_folder: Path
    """Holds what an interrupted training goes on from."""

    device: str
    """``cpu``, or ``cuda`` for the GPU of the worker's number."""

    def network(self, run: Run) -> Path:
        """Return the file that takes the network that a run deploys."""
        return self.networks_folder / f"{run_name(run)}.safetensors"

    def ensemble(self, run: Run) -> Path:
        """Return the file that takes a run's ensemble, if its method has one."""
        return self.networks_folder / f"{run_name(run)}-ensemble.safetensors"

    def checkpoint(self, run: Run) -> Path:
        """Return the file that an interrupted run goes on from."""
        return self.checkpoints_folder / f"{run_name(run)}.safetensors"


class RunEpochDone(NamedTuple):
    """A run has finished an epoch."""

    run: Run
    num_epochs: int
    """Finished so far."""

    num_samples: int
    """Of an epoch."""

    measured: dict[str, Any]
    """In this epoch, as in the run's record. Values that JSON can write."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """That the training takes in the leading process, and the most that it took."""


class RunDone(NamedTuple):
    """A run has ended."""

    record: dict[str, Any]
    """Values that JSON can write: what was run, what was measured in each epoch, what it cost."""


def peer_name(peer: int) -> str:
    """Return what a peer's files are called, whatever is in them."""
    return f"peer-{peer:03d}"


def run_name(run: Run) -> str:
    """Return what a run's files are called, whatever is in them."""
    return f"{run.architecture}-{run.method}-{run.seed}"
