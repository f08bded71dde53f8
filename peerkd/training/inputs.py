"""Inputs and results of the training processes: paths and plain values that are cheap to pickle, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.pcl import PclConfig, Run
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.study.objective import Objective
from peerkd.study.trials import Trial, Unit
from peerkd.training.round_parts import ROUNDS_FOLDER, parts_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessInputs:
    """Inputs that all training processes have in common."""

    dataset_folder: Path
    device: str
    """The kind of device, as in ``peerkd.device_kinds``. With several GPUs, the index of the process decides which."""


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
    """The file with the weights that the user provides for each peer; None for a peer without such a file."""

    image_shape_CHW: tuple[int, int, int]
    class_names: tuple[str, ...]

    doubtful_names: str = ""
    """The classes that may be one class under two names, in words; empty if there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainInputs(ResumableInputs):
    """Inputs for pre-training the peers."""

    config: PeerExperimentConfig
    partition_folder: Path

    weights_folder: Path
    """The folder for the weights of the finished peers."""

    given_weights: tuple[Path | None, ...] = ()
    """The file with weights that the user has trained, for each peer; None for a peer that is trained here.

    The sequence is empty if all peers are trained here."""

    def weights(self, peer: int) -> Path:
        """Return the path of a peer's weights."""
        return self.weights_folder / f"{peer_name(peer)}.safetensors"

    def checkpoint(self, peer: int) -> Path:
        """Return the path of the checkpoint of a peer's pre-training."""
        return self.checkpoints_folder / f"{peer_name(peer)}.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepInputs(ProcessInputs):
    """Inputs of a process that trains trials of the sweep: the config, the data and the pre-trained peers."""

    config: ExperimentConfig
    partition_folder: Path
    peers_folder: Path

    states_folder: Path | None = None
    """The folder for the state of each trial at the end of an epoch range, from which the next range continues.

    If it is None, no state is saved, and every trial must be trained from its first epoch to its last at once.
    """

    finite_peers: tuple[int, ...] | None = None
    """The peers whose pre-training did not diverge, in ascending order. None means all peers."""

    @property
    def peers(self) -> Sequence[int]:
        """The peers that take part, in ascending order."""
        return range(self.config.partition.num_peers) if self.finite_peers is None else self.finite_peers


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRange:
    """A task: to train all trials of a unit for a range of epochs.

    Consecutive ranges end in the same weights as one uninterrupted training.
    """

    unit: Unit
    first_epoch: int
    """The first epoch of the range, counted from 0. The epochs before it must have been done."""

    last_epoch: int
    """The number of epochs that are done at the end of the range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointEpochRanges:
    """A task: several epoch ranges with the same transfer set and epochs, but different teachers.

    All their students are trained together.
    """

    ranges: tuple[EpochRange, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImproveInputs:
    """Inputs for the trainings of the stage that publishes better peers."""

    sweep: SweepInputs
    """The inputs of the trials. ``sweep.states_folder`` must be set, because the chosen weights are read from this
    folder."""

    objective: Objective
    """The objective that the choice for a student maximises, on validation data."""

    weights_folder: Path
    """The folder for the networks of the students."""

    @property
    def states_folder(self) -> Path:
        """The folder for the states of the trials.

        Raises:
            ValueError: If ``sweep.states_folder`` is None.
        """
        if self.sweep.states_folder is None:
            raise ValueError("sweep.states_folder must be set for trials whose weights are published, got none.")
        return self.sweep.states_folder

    def weights(self, student: int) -> Path:
        """Return the path of a student's network."""
        return self.weights_folder / f"{student_name(student)}.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportInputs:
    """Inputs for the export of a network to a file."""

    network: PeerNetwork
    weights: Path
    """The file with the tensors of the network."""

    dataset_folder: Path
    partition_folder: Path
    """The folder of the partition. Logits are compared on validation images of its data set."""

    file: Path
    """The file to write. It must not exist yet, and its folder must exist."""

    format_name: str
    """The name of the format, a key of ``peerkd.training.export_formats.FORMATS``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentTask:
    """A task: to train the chosen trial of one student whose network is published."""

    student: int

    candidates: tuple[Trial, ...]
    """A tuple with the one trial that was chosen for the student. It is empty if the student stays unchanged."""

    num_epochs: int
    """The number of epochs for which each candidate is trained. The schedule always covers all epochs of the recipe."""


def student_name(student: int) -> str:
    """Return the beginning of the names of all published files of a student."""
    return f"student-{student:03d}"


def epoch_ranges(task: Unit | EpochRange | JointEpochRanges, *, num_epochs: int) -> tuple[EpochRange, ...]:
    """Return a task of any kind as a tuple of epoch ranges.

    A unit becomes one range from the first epoch to ``num_epochs``.

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
    """The choice of an engine or of a number of students, for the log. It changes the duration and no result."""

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
    """The GPU memory in bytes that the training takes now, and its peak so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputs(ResumableInputs):
    """Inputs for the runs of a comparison of methods."""

    config: PclConfig
    split_folder: Path

    networks_folder: Path
    """The folder for the networks of the finished runs."""

    def network(self, run: Run) -> Path:
        """Return the path of the network that a run deploys."""
        return self.networks_folder / network_name(run)

    def ensemble(self, run: Run) -> Path:
        """Return the path of a run's ensemble, which exists if the method has one."""
        return self.networks_folder / network_name(run, is_ensemble=True)

    def checkpoint(self, run: Run) -> Path:
        """Return the path of the checkpoint of a run."""
        return self.checkpoints_folder / f"{run_name(run)}.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundsInputs(ResumableInputs):
    """Inputs for the rounds of the pipeline ``collaborate``, in which pre-trained peers learn by several methods."""

    config: CollaborateConfig
    partition_folder: Path
    peers_folder: Path

    finite_peers: tuple[int, ...]
    """The peers that have weights, in ascending order."""

    networks_folder: Path
    """The folder for the networks of the peers after the last round of the first method."""

    def network(self, peer: int) -> Path:
        """Return the path of the network of a peer after the last round."""
        return self.networks_folder / f"{student_name(peer)}.safetensors"

    def checkpoint(self, method: str) -> Path:
        """Return the path of the checkpoint of the rounds of a method."""
        return self.checkpoints_folder / f"{method}.safetensors"

    @property
    def parts(self) -> Sequence[tuple[int, ...]]:
        """The peers of each part of a round, if workers share the peers of a round."""
        return parts_of(self.finite_peers, self.config.compute.num_round_parts)

    @property
    def rounds_folder(self) -> Path:
        """The folder of the files of all parts."""
        return self.checkpoints_folder / ROUNDS_FOLDER


class RoundDone(NamedTuple):
    """Event: a round of a method has ended."""

    method: str
    num_rounds: int
    """The number of rounds finished so far."""

    num_samples: int
    """The number of samples in the trainings of all peers in this round."""

    accuracy: float
    """The mean global validation accuracy of the peers."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """The GPU memory in bytes that the process takes now, and its peak so far."""


class MethodDone(NamedTuple):
    """Event: all rounds of a method have ended."""

    record: dict[str, Any]
    """The method, and the measurements of each peer after each round. JSON can represent all values."""


class RunEpochDone(NamedTuple):
    """Event: a run has finished an epoch."""

    run: Run
    num_epochs: int
    """The number of epochs finished so far."""

    num_samples: int
    """The number of samples in an epoch."""

    measured: dict[str, Any]
    """The measurements of this epoch, as they stand in the journal. All values can be written as JSON."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """The GPU memory in bytes that the training takes now in the leading process, and its peak so far."""


class RunDone(NamedTuple):
    """Event: a run has ended."""

    record: dict[str, Any]
    """The record of the run: its description, the measurements of each epoch, and the cost. JSON can represent it."""


def peer_name(peer: int) -> str:
    """Return the beginning of the names of all files of a peer."""
    return f"peer-{peer:03d}"


def run_name(run: Run) -> str:
    """Return the beginning of the names of all files of a run."""
    return f"{run.architecture}-{run.method}-{run.seed}"


def network_name(run: Run, *, is_ensemble: bool = False) -> str:
    """Return the name of the file with the network that a run deploys, or with its ensemble."""
    return f"{run_name(run)}{'-ensemble' if is_ensemble else ''}.safetensors"
