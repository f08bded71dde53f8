"""Inputs and results of the training processes: paths and plain values that are cheap to pickle, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.pcl import PclConfig, Run
from peerkd.study.objective import Objective
from peerkd.study.trials import Trial, Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessInputs:
    """Inputs that all training processes have in common."""

    dataset_folder: Path
    device: str
    """``cpu``, or ``cuda`` for the GPU at the index of the process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumableInputs(ProcessInputs):
    """Inputs of trainings that resume from checkpoints."""

    checkpoints_folder: Path
    """The folder of the checkpoints from which interrupted trainings are resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckInputs:
    """The peers to check, and the images that their networks must accept."""

    networks: tuple[PeerNetwork, ...]

    weights: tuple[Path | None, ...]
    """The file with the weights of each peer, or None."""

    image_shape_CHW: tuple[int, int, int]
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainInputs(ResumableInputs):
    """Inputs for pre-training the peers."""

    config: ExperimentConfig
    partition_folder: Path

    weights_folder: Path
    """The folder for the weights of the finished peers."""

    given_weights: tuple[Path | None, ...] = ()
    """The file with the weights that the user has trained, for each peer; None for a peer that is trained here. Empty
    if all are."""

    def weights(self, peer: int) -> Path:
        """Return the path of a peer's weights."""
        return self.weights_folder / f"{peer_name(peer)}.safetensors"

    def checkpoint(self, peer: int) -> Path:
        """Return the path of the checkpoint of a peer's pre-training."""
        return self.checkpoints_folder / f"{peer_name(peer)}.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepInputs(ProcessInputs):
    """What a process needs to train trials of the sweep: the config, the data and the pre-trained peers."""

    config: ExperimentConfig
    partition_folder: Path
    peers_folder: Path

    states_folder: Path | None = None
    """The folder with the state of each trial at the end of an epoch range, from which the next range goes on. If it is
    None, no state is saved and every trial runs from its first epoch to its last.
    """

    finite_peers: tuple[int, ...] | None = None
    """The peers that have weights, in ascending order. None means all peers, because no pre-training diverged."""

    @property
    def peers(self) -> Sequence[int]:
        """The peers that take part, in ascending order."""
        return range(self.config.partition.num_peers) if self.finite_peers is None else self.finite_peers


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRange:
    """An epoch range of all trials of a unit. Consecutive ranges end in the weights of one uninterrupted training."""

    unit: Unit
    first_epoch: int
    """The first epoch, counted from 0. If it is not 0, the epochs before it must have been done."""

    last_epoch: int
    """The number of epochs that are done at the end of the range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointEpochRanges:
    """Epoch ranges of several teachers on one transfer set over the same epochs. Their students train side by side."""

    ranges: tuple[EpochRange, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImproveInputs:
    """Inputs for the trainings of the stage that publishes better peers."""

    sweep: SweepInputs
    """The inputs of the trials. They have a folder for states, from which the chosen weights are taken."""

    objective: Objective
    """What the choice for a student maximises, on validation data."""

    weights_folder: Path
    """The folder for the networks of the students."""

    @property
    def states_folder(self) -> Path:
        """The folder for the states of the trials.

        Raises:
            ValueError: If the inputs of the trials have none.
        """
        if self.sweep.states_folder is None:
            raise ValueError("sweep.states_folder must be set for trials whose weights are published, got none.")
        return self.sweep.states_folder

    def weights(self, student: int) -> Path:
        """Return the path of a student's network."""
        return self.weights_folder / f"{student_name(student)}.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportInputs:
    """A network and the file to which it is written."""

    network: PeerNetwork
    weights: Path
    """The file with the tensors of the network."""

    dataset_folder: Path
    partition_folder: Path
    """The data set and the partition with the validation images on which logits are compared."""

    file: Path
    """The file to write, which does not exist yet, in a folder that exists."""

    format_name: str
    """A key of ``peerkd.training.export_formats.FORMATS``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentTask:
    """The training of one student whose network is published."""

    student: int

    candidates: tuple[Trial, ...]
    """The trial that was chosen. Empty: the student stays unchanged."""

    num_epochs: int
    """The number of epochs after which every candidate stops. The schedule always covers the whole recipe."""


def student_name(student: int) -> str:
    """Return the stem that the names of all published files of a student share."""
    return f"student-{student:03d}"


def epoch_ranges(task: Unit | EpochRange | JointEpochRanges, *, num_epochs: int) -> tuple[EpochRange, ...]:
    """Return a task as epoch ranges on one transfer set. A unit is done from its first epoch to ``num_epochs``.

    Raises:
        ValueError: If joint ranges differ in transfer set or epochs.
    """
    if isinstance(task, Unit):
        return (EpochRange(unit=task, first_epoch=0, last_epoch=num_epochs),)
    if isinstance(task, EpochRange):
        return (task,)
    kinds = {(each.unit.samples, each.first_epoch, each.last_epoch) for each in task.ranges}
    if len(kinds) != 1:
        raise ValueError(f"ranges must have the same transfer set and epochs, got {len(kinds)} combinations.")
    return task.ranges


def state_name(trial: Trial, *, num_epochs: int) -> str:
    """Return the name of the file with the state of a trial after ``num_epochs`` epochs."""
    teacher = "none" if trial.teacher is None else f"{trial.teacher:04d}"
    temperature = "none" if trial.setting.temperature is None else repr(trial.setting.temperature)
    setting = f"{temperature}-{trial.setting.alpha!r}"
    if trial.setting.learning_rate is not None:
        setting += f"-{trial.setting.learning_rate!r}"
    for name in (trial.setting.loss, trial.setting.target):
        if name is not None:
            setting += f"-{name}"
    return f"{trial.student:04d}-{teacher}-{trial.transfer_set}-{setting}-{num_epochs}.safetensors"


class EngineChoice(NamedTuple):
    """A choice between ways to do the same work, by measured speed. It changes the duration and no result."""

    kind: str
    text: str
    """The choice in words, for the log."""


class EpochDone(NamedTuple):
    """Event: a peer has finished an epoch of its pre-training."""

    peer: int
    num_epochs: int
    """The number of epochs finished so far."""

    num_samples: int
    """The number of samples in an epoch."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """GPU memory that the training takes now, and the peak so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputs(ResumableInputs):
    """Inputs for the runs of a comparison of methods."""

    config: PclConfig
    split_folder: Path

    networks_folder: Path
    """The folder for the networks of the finished runs."""

    def network(self, run: Run) -> Path:
        """Return the path of the network that a run deploys."""
        return self.networks_folder / f"{run_name(run)}.safetensors"

    def ensemble(self, run: Run) -> Path:
        """Return the path of a run's ensemble, which exists if the method has one."""
        return self.networks_folder / f"{run_name(run)}-ensemble.safetensors"

    def checkpoint(self, run: Run) -> Path:
        """Return the path of the checkpoint of a run."""
        return self.checkpoints_folder / f"{run_name(run)}.safetensors"


class RunEpochDone(NamedTuple):
    """Event: a run has finished an epoch."""

    run: Run
    num_epochs: int
    """The number of epochs finished so far."""

    num_samples: int
    """The number of samples in an epoch."""

    measured: dict[str, Any]
    """The measurements of this epoch, as in the run's record. JSON can represent all values."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """GPU memory that the training takes now in the leading process, and the peak so far."""


class RunDone(NamedTuple):
    """Event: a run has ended."""

    record: dict[str, Any]
    """What was run, the measurements of each epoch, and the cost. JSON can represent all values."""


def peer_name(peer: int) -> str:
    """Return the stem that the names of all files of a peer share."""
    return f"peer-{peer:03d}"


def run_name(run: Run) -> str:
    """Return the stem that the names of all files of a run share."""
    return f"{run.architecture}-{run.method}-{run.seed}"
