"""The seconds that one sample takes on this machine in each kind of work, measured on random images.

The measurement runs the same code as an experiment. A short pilot measurement first estimates how long the full size
would take. If a few seconds suffice, the transfer sets are as large as in the experiment, and a unit contains all
settings of a transfer set. Otherwise the transfer sets are smaller, and a unit contains fewer settings.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import GivenPeerConfig, PeerNetwork
from peerkd.data.packed import write_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.study.grid import settings
from peerkd.study.trials import Trial, Unit
from peerkd.training import peers
from peerkd.training.checkpoints import save_tensors
from peerkd.training.devices import process_device
from peerkd.training.forecast import PartitionSizes, Rates
from peerkd.training.inputs import PretrainInputs, SweepInputs
from peerkd.training.process_pool import TaskFunction
from peerkd.training.stacked.students import should_stack
from peerkd.training.sweep import SweepRunner
from peerkd.training.timing import random_images, timed

_NUM_REPETITIONS: Final = 3
_REPETITION_SECONDS: Final = 2.0
"""The time after which no further repetition of a measurement begins."""

_PILOT_SAMPLES: Final = 4
_NUM_SETS: Final = 1 + 3 * _NUM_REPETITIONS
"""The number of transfer sets. Each measurement uses new transfer sets, because the batches of a used one may still be
in memory."""

_STUDENT, _TEACHER = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RateInputs:
    """The inputs of a measurement of rates."""

    config: ExperimentConfig
    samples: PartitionSizes
    device: str
    """The kind of device; see ``process_device``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Workload:
    """The amount of work in one measurement."""

    num_samples: int
    """The size of a single transfer set. A double set has twice as many samples."""

    num_evaluated: int
    num_trials: int
    epochs: int


def start(config: ExperimentConfig, samples: PartitionSizes, device: str, *, process_index: int) -> TaskFunction:
    """Return a function that measures one network in this process: given a network, it yields one ``Rates``.

    ``Rates`` contains the seconds that one sample takes with the network in each kind of work.

    Args:
        config: The experiment whose recipes and precisions are measured.
        samples: The sizes of the parts of the experiment's data set, and the shape of its images.
        device: The kind of device; see ``process_device``.
        process_index: The index of this process, from 0.
    """
    inputs = RateInputs(config=config, samples=samples, device=device)
    own_device = process_device(device, process_index=process_index)

    def perform(network: PeerNetwork) -> Iterator[Rates]:
        yield measure(inputs, network, device=own_device)

    return perform


def measure(inputs: RateInputs, network: PeerNetwork, *, device: torch.device) -> Rates:
    """Return the seconds that one sample takes with one network in each kind of work of an experiment."""
    # Architectures whose students train side by side are measured only that way.
    is_tiny = network.is_plain and should_stack(network.name, image_shape_CHW=inputs.samples.image_shape_CHW)
    num_settings = len(settings(inputs.config.grid, inputs.config.sweep.tried_transfer_sets[0]))
    num_samples = _PILOT_SAMPLES * (8 if is_tiny else 1)
    pilot = _Workload(
        num_samples=num_samples, num_evaluated=num_samples, num_trials=num_settings if is_tiny else 1, epochs=1
    )
    with (
        TemporaryDirectory() as folder,
        closing(_Units(inputs, network, pilot, folder=Path(folder), device=device)) as units,
    ):
        pilot_seconds = units.seconds(doubled=False)
    scale = _scale(inputs, pilot, pilot_seconds=pilot_seconds)
    with TemporaryDirectory() as folder:
        with closing(_Units(inputs, network, scale, folder=Path(folder), device=device)) as units:
            repetitions = _repeated(
                lambda: (
                    units.seconds(doubled=False),
                    units.seconds(doubled=True),
                    units.seconds(doubled=True, only_teacher=True),
                )
            )
        single, double, teacher = (min(each) for each in zip(*repetitions, strict=True))
        pretraining = _pretraining_seconds(inputs, network, scale, folder=Path(folder), device=device)
    num_epoch_samples = scale.num_samples * scale.epochs
    # With n samples in the single set, e epochs and k trials, d seconds of distillation a sample, t seconds of the
    # teacher on the single set, and r seconds of everything else, which does not grow with the set:
    #     single = e n k d + t + r,   double = 2 e n k d + 2 t + r,   teacher = 2 t.
    # Their difference gives e n k d = double - single - teacher / 2.
    distillation = (double - single - teacher / 2) / num_epoch_samples / scale.num_trials
    most = (double - teacher) / (2 * num_epoch_samples) / scale.num_trials
    # All of a unit but its teacher is 2 e n k d + r = double - teacher, so d is at most ``most``. Noise may move the
    # difference anywhere; the lower bound prevents a forecast in which samples cost nothing. What is left of each
    # trial, r / k = 2 e n (most - d), is attributed to its evaluation.
    distillation = min(max(distillation, most / 2), most)
    rest = 2 * num_epoch_samples * (most - distillation)
    return Rates(
        pretraining=pretraining,
        distillation=distillation,
        teacher=teacher / 2 / (num_epoch_samples if inputs.config.teachers_vary else scale.num_samples),
        evaluation=rest / scale.num_evaluated,
    )


def _scale(inputs: RateInputs, pilot: _Workload, *, pilot_seconds: float) -> _Workload:
    """Return the amount of work for which one repetition of the measurement has time.

    A repetition trains a unit on a transfer set of single size, and then works on two sets of double size. It takes
    about five times as long as the unit of single size. The pilot trained one such unit, with less work.

    Args:
        inputs: The inputs of the measurement.
        pilot: The amount of work in the pilot.
        pilot_seconds: The time that the pilot took.
    """
    samples, recipe = inputs.samples, inputs.config.distill
    num_settings = len(settings(inputs.config.grid, inputs.config.sweep.tried_transfer_sets[0]))
    # The number of samples of a set for which the repetition has time, with the pilot's number of trials.
    num_affordable = int(_REPETITION_SECONDS * pilot.num_samples / pilot_seconds / 5)
    num_samples = max(samples.training // inputs.config.partition.num_peers, 2)
    num_samples = min(num_samples, max(num_affordable, 2 * _PILOT_SAMPLES))
    epochs = max(min(recipe.epochs, num_affordable // num_samples), 1)
    num_trials = num_affordable * pilot.num_trials // (num_samples * epochs)
    return _Workload(
        num_samples=num_samples,
        num_evaluated=min(samples.validation + samples.test + samples.own, max(num_affordable, 2 * _PILOT_SAMPLES)),
        num_trials=max(min(num_trials, num_settings), pilot.num_trials),
        epochs=epochs,
    )


def _repeated(measure_once: Callable[[], tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Repeat a measurement until its time limit or its number of repetitions is reached, and return all results."""
    repetitions: list[tuple[float, ...]] = []
    while not repetitions or (len(repetitions) < _NUM_REPETITIONS and sum(map(sum, repetitions)) < _REPETITION_SECONDS):
        repetitions.append(measure_once())
    return repetitions


class _Units:
    """Measures the time that units of an experiment take on random images."""

    def __init__(
        self, inputs: RateInputs, network: PeerNetwork, scale: _Workload, *, folder: Path, device: torch.device
    ) -> None:
        self._device = device
        config = _reduced(inputs.config, network, epochs=scale.epochs)
        sweep_inputs = SweepInputs(
            config=config,
            dataset_folder=folder,
            partition_folder=folder,
            peers_folder=folder,
            device=inputs.device,
        )
        _write_experiment(inputs.samples, scale, folder, known_classes=network.classes or ())
        dataset = open_dataset(folder)
        for peer in (_STUDENT, _TEACHER):
            weights = peers.build_peer(network, dataset, seed=peer).state_dict()
            save_tensors(folder / peers.weights_name(peer), weights)
        self._sweep = SweepRunner(sweep_inputs, device=device)
        transfer_set = config.sweep.tried_transfer_sets[0]
        # Settings of one loss are neighbours, so some of every loss are taken.
        tried = settings(config.grid, transfer_set)
        grid = tried[:: max(len(tried) // scale.num_trials, 1)][: scale.num_trials]
        self._trials = tuple(Trial(_STUDENT, _TEACHER, transfer_set, setting) for setting in grid)
        self._num_done = {False: 0, True: 0}
        self.seconds(doubled=False)  # The first call includes work that is done only once.

    def close(self) -> None:
        """Close the sweep, so that another one can be opened in this process."""
        self._sweep.close()

    def seconds(self, *, doubled: bool, only_teacher: bool = False) -> float:
        """Train a unit on a transfer set that was not used before, and return the seconds that this took.

        Args:
            doubled: Whether the transfer set has twice the size.
            only_teacher: Whether to compute only the teacher's logits.
        """
        # Sets with an even number have the single size.
        owner = 2 * self._num_done[doubled] + doubled
        self._num_done[doubled] += 1
        unit = Unit(owners=(owner,), teacher=_TEACHER, trials=self._trials)
        if only_teacher:
            return timed(lambda: self._sweep.run_teacher(unit), self._device)
        return timed(lambda: [*self._sweep.do(unit)], self._device)


def _pretraining_seconds(
    inputs: RateInputs, network: PeerNetwork, scale: _Workload, *, folder: Path, device: torch.device
) -> float:
    """Return the seconds that one sample takes in one epoch of pre-training.

    Epochs with n and with 2 n samples are measured. Their difference is the time of n samples, without the time that
    every epoch takes whatever its size.
    """
    checkpoints_folder = folder / "checkpoints"
    checkpoints_folder.mkdir()
    config = _reduced(inputs.config, network, epochs=scale.epochs)
    recipe = config.pretrain.model_copy(update={"epochs": 1 + _NUM_REPETITIONS})
    perform = peers.start(
        PretrainInputs(
            config=config.model_copy(update={"pretrain": recipe}),
            dataset_folder=folder,
            partition_folder=folder,
            weights_folder=checkpoints_folder,
            checkpoints_folder=checkpoints_folder,
            device=inputs.device,
        ),
        process_index=device.index or 0,
    )
    single, double = perform(0), perform(1)
    next(single), next(double)  # The first call includes work that is done only once.
    repetitions = _repeated(lambda: (timed(lambda: next(single), device), timed(lambda: next(double), device)))
    # As in ``measure``: the difference gives the rate, and its bounds keep noise from making it absurd.
    of_single, of_double = (min(each[index] for each in repetitions) for index in (0, 1))
    most = of_double / (2 * scale.num_samples)
    return min(max((of_double - of_single) / scale.num_samples, most / 2), most)


def _reduced(config: ExperimentConfig, network: PeerNetwork, *, epochs: int) -> ExperimentConfig:
    """Return the config of the measurement: an experiment's recipes, with peers that all have the measured network.

    Args:
        config: The experiment.
        network: The network of all peers.
        epochs: The number of epochs of a distillation.
    """
    num_peers = 2 * _NUM_SETS
    if network.is_plain:
        measured = config.peers.model_copy(update={"architectures": (network.name,), "given": ()})
    else:
        given = tuple(
            GivenPeerConfig(
                name=f"measured {peer}",
                network=network.name,
                image_size_pixels=network.image_size_pixels,
                mean=network.mean,
                std=network.std,
                classes=network.classes,
            )
            for peer in range(num_peers)
        )
        measured = config.peers.model_copy(update={"given": given})
    return config.model_copy(
        update={
            "partition": config.partition.model_copy(update={"num_peers": num_peers}),
            "peers": measured,
            "distill": config.distill.model_copy(update={"epochs": epochs}),
        }
    )


def _write_experiment(samples: PartitionSizes, scale: _Workload, folder: Path, *, known_classes: Sequence[str]) -> None:
    """Write random images, and a partition to ``2 * _NUM_SETS`` peers. Every second peer has twice as many samples."""
    num_images = max(2 * scale.num_samples, scale.num_evaluated, samples.num_classes)
    raw = random_images(
        num_images, samples.image_shape_CHW, num_classes=samples.num_classes, known_classes=known_classes
    )
    write_packed(folder, raw)
    num_validation = max(scale.num_evaluated // 2, 1)
    validation, test = np.arange(num_validation), np.arange(max(scale.num_evaluated - num_validation, 1))
    Assignment(
        train=tuple(np.arange(scale.num_samples * (1 + number % 2)) for number in range(2 * _NUM_SETS)),
        own_validation=(validation,) * (2 * _NUM_SETS),
        own_test=(test,) * (2 * _NUM_SETS),
        validation=validation,
        test=test,
        public=np.empty(0, dtype=np.int64),
    ).save(folder)
