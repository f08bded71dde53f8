"""The forecast of a study of methods: samples, bytes and, from measured rates, time. This module needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from peerkd.config.methods import METHODS, Method
from peerkd.config.pcl import PclConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.training.file_sizes import weights_bytes
from peerkd.training.forecast import packed_bytes


class SplitSizes(NamedTuple):
    """The sizes of the parts of a data set that a study splits, and the shape of its images."""

    training: int
    validation: int
    test: int

    total: int
    """The number of samples in the data set, after the limits that the config sets."""

    image_shape_CHW: tuple[int, int, int]
    num_classes: int

    @property
    def evaluated(self) -> int:
        """The number of samples on which a network is evaluated."""
        return self.validation + self.test


class RunRates(NamedTuple):
    """The seconds that one process takes for one sample in a run of one architecture and method."""

    training: float
    """The seconds for a training sample, in all passes that the method makes with it."""

    evaluation: float
    """The seconds for a validation or test sample, with all predictors of the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyForecast:
    """The work of a study of methods. A sample counts once for each time that it passes through a network."""

    num_runs: int
    samples: SplitSizes

    num_passes: Mapping[Method, int]
    """How often a sample passes through networks in one epoch, by method."""

    num_training_samples: Mapping[Method, int]
    """The number of samples that pass through networks in the trainings of all runs, by method."""

    num_evaluations: int
    """The number of evaluations of a run."""

    num_evaluation_samples: int
    """The number of samples on which the networks of all runs are evaluated."""

    dataset_bytes: int
    networks_bytes: int
    """The size of the networks that all runs deploy."""


def measure_split(dataset: ImageDataset | RawDataset, assignment: Assignment) -> SplitSizes:
    """Return the sizes of the training, validation and test sets of a study.

    ``assignment`` is the split of the data set, in which all training samples belong to a single peer.
    """
    return SplitSizes(
        training=len(assignment.train[0]),
        validation=len(assignment.validation),
        test=len(assignment.test),
        total=len(dataset.labels_N),
        image_shape_CHW=dataset.image_shape,
        num_classes=len(dataset.class_names),
    )


def forecast_study(config: PclConfig, samples: SplitSizes) -> StudyForecast:
    """Return the work of a study of methods.

    Args:
        config: The study.
        samples: The sizes of the parts of the data set.
    """
    num_runs, epochs = len(config.runs), config.training.epochs
    num_of_method = num_runs // len(config.methods) * epochs * samples.training
    num_passes = {
        method: _num_passes(method, num_branches=config.collaboration.num_branches) for method in config.methods
    }
    num_evaluations = -(-epochs // config.evaluation.every_epochs)
    shape_CHW, num_classes = samples.image_shape_CHW, samples.num_classes
    return StudyForecast(
        num_runs=num_runs,
        samples=samples,
        num_passes=num_passes,
        num_training_samples={method: num_of_method * num for method, num in num_passes.items()},
        num_evaluations=num_evaluations,
        num_evaluation_samples=num_runs * num_evaluations * samples.evaluated,
        dataset_bytes=0 if config.data.storage == "streamed" else packed_bytes(samples.total, shape_CHW),
        networks_bytes=sum(
            weights_bytes(run.architecture, image_shape_CHW=shape_CHW, num_classes=num_classes) for run in config.runs
        ),
    )


def study_seconds(expected: StudyForecast, rates: Mapping[tuple[str, Method], RunRates], config: PclConfig) -> float:
    """Return the seconds that all trainings and evaluations take in one process.

    Args:
        expected: The work.
        rates: The rates of each architecture and method of the study.
        config: The study.
    """
    samples = expected.samples
    num_trained = config.training.epochs * samples.training
    num_evaluated = expected.num_evaluations * samples.evaluated
    return sum(
        num_trained * rates[run.architecture, run.method].training
        + num_evaluated * rates[run.architecture, run.method].evaluation
        for run in config.runs
    )


def _num_passes(method: Method, *, num_branches: int) -> int:
    """Return how often a sample passes through networks in one epoch of a method."""
    facts = METHODS[method]
    # A mean network predicts each view once more.
    num_passes = (num_branches if facts.has_views else 1) * (2 if facts.has_mean_network else 1)
    return num_passes * (num_branches if not facts.shares_trunk and not facts.has_views else 1)
