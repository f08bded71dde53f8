"""What an experiment will take, before it runs: trials, samples, bytes and, from measured rates, time. No torch."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from peerkd.config.architectures import Architecture
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import TransferSet
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.training.file_sizes import weights_bytes
from peerkd.training.plan import control_settings, plan, settings

_LABEL_BYTES: Final = 8

# Of real journals and tables: digits and CIFAR-10 lie within a fifth of these.
_RECORD_BYTES: Final = 850
_RECORD_BYTES_PER_CLASS: Final = 48
_RECORD_BYTES_PER_TEST_SAMPLE: Final = 0.25
_RECORD_BYTES_PER_MEASURED_EPOCH: Final = 80
_ROW_BYTES: Final = 60
_ROW_BYTES_PER_CLASS: Final = 1.5
_ROW_BYTES_PER_TEST_SAMPLE: Final = 0.06
_ROW_BYTES_PER_MEASURED_EPOCH: Final = 6


class DividedData(NamedTuple):
    """How much of a data set is in which part, and what its images are."""

    training: int
    """Of all peers together."""

    validation: int
    test: int
    public: int

    own: int
    """Validation and test samples that are a peer's alone, on average."""

    total: int
    """Of the data set, after its limits."""

    image_shape_CHW: tuple[int, int, int]
    num_classes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What an experiment does. A sample that goes through a network in one epoch counts once."""

    num_peers: int
    num_pairs: int
    """Ordered."""

    num_settings: int
    """That each pair tries, all transfer sets together, controls apart."""

    num_trials: int
    num_controls: int
    """Of the trials."""

    samples: DividedData

    num_pretraining_samples: int
    num_distillation_samples: int
    num_teacher_samples: int
    """Forward only: a teacher's logits are computed once for all students that share them."""

    num_evaluation_samples: int
    """Forward only, after pre-training and after each trial, or each of its epochs."""

    dataset_bytes: int
    weights_bytes: int
    journals_bytes: int
    """While the sweep is done; gone afterwards."""

    table_bytes: int


class Rates(NamedTuple):
    """Seconds that one worker takes for one sample with one architecture."""

    pretraining: float
    distillation: float
    teacher: float
    evaluation: float


def forecast(config: ExperimentConfig, samples: DividedData) -> Forecast:
    """Return what an experiment does on a data set that is divided so."""
    num_peers = config.partition.num_peers
    num_pairs = num_peers * (num_peers - 1)
    num_trials = plan(config).num_trials
    num_settings = sum(len(settings(config, transfer_set)) for transfer_set in config.sweep.transfer_sets)
    taught = {name: _pair_samples(name, samples, num_peers) for name in config.sweep.transfer_sets}
    num_distilled = sum(len(settings(config, name)) * num for name, num in taught.items())
    num_controlled = sum(_control_samples(name, samples, num_peers) for name in config.sweep.transfer_sets)
    num_distilled += num_controlled * len(control_settings(config))
    # On these sets a teacher's logits serve all students at once.
    num_taught = sum(num if name in ("student", "both") else num // (num_peers - 1) for name, num in taught.items())
    num_measured_epochs = config.distill.epochs if config.sweep.validate_every_epoch else 0
    num_judged = samples.validation + samples.test + samples.own
    # The last epoch is judged anyhow.
    num_judged_between = max(num_measured_epochs - 1, 0) * num_trials * num_judged
    architectures = Counter(config.architectures)
    return Forecast(
        num_peers=num_peers,
        num_pairs=num_pairs,
        num_settings=num_settings,
        num_trials=num_trials,
        num_controls=num_trials - num_pairs * num_settings,
        samples=samples,
        num_pretraining_samples=samples.training * config.pretrain.epochs,
        num_distillation_samples=num_distilled * config.distill.epochs,
        num_teacher_samples=num_taught * (config.distill.epochs if config.teachers_vary else 1),
        num_evaluation_samples=num_judged_between + (num_trials + num_peers) * num_judged,
        dataset_bytes=0 if config.data.storage == "streamed" else packed_bytes(samples.total, samples.image_shape_CHW),
        weights_bytes=sum(
            num * weights_bytes(name, image_shape_CHW=samples.image_shape_CHW, num_classes=samples.num_classes)
            for name, num in architectures.items()
        ),
        journals_bytes=round(
            num_trials
            * (
                _RECORD_BYTES
                + _RECORD_BYTES_PER_CLASS * samples.num_classes
                + _RECORD_BYTES_PER_TEST_SAMPLE * samples.test
                + _RECORD_BYTES_PER_MEASURED_EPOCH * num_measured_epochs
            )
        ),
        table_bytes=round(
            num_trials
            * (
                _ROW_BYTES
                + _ROW_BYTES_PER_CLASS * samples.num_classes
                + _ROW_BYTES_PER_TEST_SAMPLE * samples.test
                + _ROW_BYTES_PER_MEASURED_EPOCH * num_measured_epochs
            )
        ),
    )


def worker_seconds(forecast: Forecast, rates: Mapping[Architecture, Rates], config: ExperimentConfig) -> float:
    """Return how long one worker would take for the trainings; what starts and ends a stage is not counted.

    Args:
        forecast: What there is to do.
        rates: Of each architecture of the experiment.
        config: Says which peer has which architecture; all are expected to have equally many samples.
    """
    seconds = 0.0
    for architecture, num in Counter(config.architectures).items():
        share, rate = num / forecast.num_peers, rates[architecture]
        seconds += share * forecast.num_pretraining_samples * rate.pretraining
        seconds += share * forecast.num_distillation_samples * rate.distillation
        seconds += share * forecast.num_teacher_samples * rate.teacher
        seconds += share * forecast.num_evaluation_samples * rate.evaluation
    return seconds


def measure_division(dataset: ImageDataset | RawDataset, assignment: Assignment) -> DividedData:
    """Return the sizes of the parts of a data set."""
    own_parts = [*zip(assignment.own_validation, assignment.own_test, strict=True)]
    num_own = sum(
        int(np.setdiff1d(own, everyone, assume_unique=True).size)
        for parts in own_parts
        for own, everyone in zip(parts, (assignment.validation, assignment.test), strict=True)
    )
    return DividedData(
        training=sum(map(len, assignment.train)),
        validation=len(assignment.validation),
        test=len(assignment.test),
        public=len(assignment.public),
        own=num_own // assignment.num_peers,
        total=len(dataset.labels_N),
        image_shape_CHW=dataset.image_shape,
        num_classes=len(dataset.class_names),
    )


def packed_bytes(num_samples: int, image_shape_CHW: tuple[int, int, int]) -> int:
    """Return about how many bytes a packed data set has on disk: a byte a value, and the labels."""
    return num_samples * (math.prod(image_shape_CHW) + _LABEL_BYTES)


def _pair_samples(transfer_set: TransferSet, samples: DividedData, num_peers: int) -> int:
    """Return the samples of the transfer sets of all pairs, added up."""
    match transfer_set:
        case "student" | "teacher":
            return samples.training * (num_peers - 1)
        case "both":
            return 2 * samples.training * (num_peers - 1)
        case "public" | "public_unlabelled":
            return samples.public * num_peers * (num_peers - 1)


def _control_samples(transfer_set: TransferSet, samples: DividedData, num_peers: int) -> int:
    match transfer_set:
        case "student":
            return samples.training
        case "teacher" | "both":
            return _pair_samples(transfer_set, samples, num_peers)
        case "public":
            return samples.public * num_peers
        case "public_unlabelled":
            return 0
