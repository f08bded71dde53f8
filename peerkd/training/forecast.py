"""The forecast of an experiment: trials, samples, bytes and, from measured rates, time. This module needs no torch."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.study.grid import control_settings, settings
from peerkd.study.moved_bytes import MovedBytes, TeacherSizes, moved_bytes
from peerkd.study.pairs import Pairs
from peerkd.study.plan import plan
from peerkd.study.transfer_sets import TRANSFER_SETS, SourceSizes, epoch_size, grouped_by_samples, taught_size
from peerkd.training.file_sizes import weights_bytes

_LABEL_BYTES: Final = 8

_EVALUATIONS_OF_BETTER_PEER: Final = 4
"""The number of evaluations of a student whose network is published.

The student is evaluated before and after the trial, each time once by the engine of the trial and once as a plain
network."""

# These numbers were measured on journals and tables of digits and CIFAR-10. Their real sizes are within a fifth of the
# forecast.
_RECORD_BYTES: Final = 1_040
_RECORD_BYTES_PER_CLASS: Final = 48
_RECORD_BYTES_PER_TEST_SAMPLE: Final = 0.25
_RECORD_BYTES_PER_MEASURED_EPOCH: Final = 80
_ROW_BYTES: Final = 60
_ROW_BYTES_PER_CLASS: Final = 1.5
_ROW_BYTES_PER_TEST_SAMPLE: Final = 0.06
_ROW_BYTES_PER_MEASURED_EPOCH: Final = 6


class PartitionSizes(NamedTuple):
    """The sizes of the parts of a partitioned data set, and the shape of its images."""

    training_by_peer: tuple[int, ...]
    """The number of training samples of each peer."""

    validation: int
    test: int
    public: int

    own: int
    """The mean number of own validation and test samples of a peer, without samples that are also in the global
    sets."""

    total: int
    """The number of samples in the data set, after the limits that the config sets."""

    image_shape_CHW: tuple[int, int, int]
    num_classes: int

    @property
    def training(self) -> int:
        """The number of training samples of all peers together."""
        return sum(self.training_by_peer)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The work of an experiment. A sample counts once for each time that it passes through a network."""

    num_peers: int
    num_pairs: int
    """The number of ordered pairs."""

    num_settings: int
    """The number of settings of each pair, over all transfer sets, without fine-tuning."""

    num_units: int
    """The number of units of the sweep, as in ``peerkd.study.plan``."""

    num_trials: int
    num_controls: int
    """The number of trials of fine-tuning."""

    samples: PartitionSizes

    num_pretraining_samples: int
    num_distillation_samples: int
    """The number of samples on which all trials train: distillations and fine-tuning."""
    num_control_samples: int
    """The part of ``num_distillation_samples`` on which students are fine-tuned."""

    num_teacher_samples: int
    """The number of samples that pass through teachers. A teacher's logits are computed once for all trials of a
    unit."""

    num_improvement_samples: int
    """The maximum number of samples on which the chosen trial of each student is trained once more, to publish its
    network. A sample counts once in each epoch."""

    num_evaluation_samples: int
    """The number of samples on which networks are evaluated: after pre-training, after each trial or each epoch of a
    trial, and when better peers are published."""

    dataset_bytes: int
    weights_bytes: int
    """The size of the weights of all peers. The published networks of the better peers take the same space again."""

    journals_bytes: int
    """The size of the journals during the sweep, after which they are deleted."""

    table_bytes: int

    moved: Mapping[str, MovedBytes]
    """The bytes that leave the teachers of all pairs, by kind of transfer set."""


def tuned(expected: Forecast, config: ExperimentConfig) -> Forecast:
    """Return the forecast of a tuned study, from the forecast of a full sweep.

    The tuner spends its budget, which is a fraction of the cost of training all trials.
    """
    fraction = config.tune.budget_fraction
    num_distilled = expected.num_distillation_samples - expected.num_control_samples
    return replace(
        expected,
        num_distillation_samples=round(fraction * num_distilled),
        num_teacher_samples=round(fraction * expected.num_teacher_samples),
        num_evaluation_samples=round(fraction * expected.num_evaluation_samples),
    )


class Rates(NamedTuple):
    """The seconds that one process takes for one sample with one network, in each kind of work."""

    pretraining: float
    distillation: float
    teacher: float
    evaluation: float


def forecast(config: ExperimentConfig, samples: PartitionSizes, *, given_bytes: Sequence[int | None] = ()) -> Forecast:
    """Return the work of an experiment on a partitioned data set.

    Args:
        config: The experiment.
        samples: The sizes of the parts of the data set.
        given_bytes: For each peer, the size of the file with the weights that the user provides, or None if the user
            provides none. Empty means that the user provides no weights. The sizes are used for networks that other
            Python packages provide, because torch would be needed to compute them.
    """
    num_peers = config.partition.num_peers
    pairs, num_partners = config.pairs(), config.num_partners
    planned = plan(config.grid, pairs)
    num_trials = planned.num_trials
    num_settings = sum(len(settings(config.grid, transfer_set)) for transfer_set in config.sweep.tried_transfer_sets)
    trained, teacher_forwards = (
        {name: _pair_samples(name, samples, size, pairs) for name in config.sweep.tried_transfer_sets}
        for size in (partial(epoch_size, batch_size=config.distill.batch_size), taught_size)
    )
    num_distilled = sum(len(settings(config.grid, name)) * num for name, num in trained.items())
    num_controlled = sum(_control_samples(name, num, num_partners) for name, num in trained.items())
    num_controlled *= len(control_settings(config.grid))
    num_distilled += num_controlled
    # Logits serve all kinds with the same samples. Where these do not depend on the student, they serve all students.
    num_teacher_forwards = sum(
        teacher_forwards[name] if TRANSFER_SETS[name].depends_on_student else teacher_forwards[name] // num_partners
        for name, *_ in grouped_by_samples(config.sweep.tried_transfer_sets)
    )
    if any(target.pair_target.needs_student for target in config.tried_targets.values()):
        # The student's old self predicts the same samples, in every pair.
        num_teacher_forwards += sum(teacher_forwards.values())
    num_measured_epochs = config.distill.epochs if config.sweep.validate_every_epoch else 0
    num_evaluated = samples.validation + samples.test + samples.own
    # The last epoch is always evaluated.
    num_evaluated_between = max(num_measured_epochs - 1, 0) * num_trials * num_evaluated
    # A peer is the student of all its partners. Any kind of transfer set may be chosen for it.
    num_improved = max(trained.values()) // num_partners * config.distill.epochs
    bytes_P = peer_bytes(config, samples, given_bytes=given_bytes)
    return Forecast(
        num_peers=num_peers,
        num_pairs=pairs.num_pairs,
        num_settings=num_settings,
        num_units=len(planned),
        num_trials=num_trials,
        num_controls=num_trials - pairs.num_pairs * num_settings,
        samples=samples,
        num_pretraining_samples=samples.training * config.num_trained_peers // num_peers * config.pretrain.epochs,
        num_distillation_samples=num_distilled * config.distill.epochs,
        num_control_samples=num_controlled * config.distill.epochs,
        num_teacher_samples=num_teacher_forwards * config.num_teacher_views,
        num_improvement_samples=num_improved,
        num_evaluation_samples=num_evaluated_between
        + (num_trials + (1 + _EVALUATIONS_OF_BETTER_PEER) * num_peers) * num_evaluated,
        dataset_bytes=dataset_bytes(config, samples),
        weights_bytes=sum(bytes_P),
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
        moved={
            name: moved_bytes(
                name,
                map(TeacherSizes, samples.training_by_peer, bytes_P),
                num_students=num_partners,
                num_public_samples=samples.public,
                bytes_per_image=math.prod(samples.image_shape_CHW),
                num_classes=samples.num_classes,
                num_views=config.num_teacher_views,
            )
            for name in config.sweep.tried_transfer_sets
        },
    )


def process_seconds(forecast: Forecast, rates: Mapping[PeerNetwork, Rates], config: ExperimentConfig) -> float:
    """Return the seconds that all trainings and evaluations take in one process.

    The time in which stages start and end is not included.

    Args:
        forecast: The work.
        rates: The rates of each network of the experiment.
        config: The experiment. It is assumed that the peers of every network have equally many samples on average.
    """
    seconds = 0.0
    for network, num in Counter(config.networks).items():
        share, rate = num / forecast.num_peers, rates[network]
        seconds += share * forecast.num_pretraining_samples * rate.pretraining
        seconds += share * (forecast.num_distillation_samples + forecast.num_improvement_samples) * rate.distillation
        seconds += share * forecast.num_teacher_samples * rate.teacher
        seconds += share * forecast.num_evaluation_samples * rate.evaluation
    return seconds


def measure_partition(dataset: ImageDataset | RawDataset, assignment: Assignment) -> PartitionSizes:
    """Return the sizes of the parts of a data set."""
    own_parts = [*zip(assignment.own_validation, assignment.own_test, strict=True)]
    num_own = sum(
        int(np.setdiff1d(own, everyone, assume_unique=True).size)
        for parts in own_parts
        for own, everyone in zip(parts, (assignment.validation, assignment.test), strict=True)
    )
    return PartitionSizes(
        training_by_peer=tuple(map(len, assignment.train)),
        validation=len(assignment.validation),
        test=len(assignment.test),
        public=len(assignment.public),
        own=num_own // assignment.num_peers,
        total=len(dataset.labels_N),
        image_shape_CHW=dataset.image_shape,
        num_classes=len(dataset.class_names),
    )


def peer_bytes(
    config: PeerExperimentConfig, samples: PartitionSizes, *, given_bytes: Sequence[int | None] = ()
) -> list[int]:
    """Return the size of the weights of each peer. The arguments are those of ``forecast``."""
    return [
        weights_bytes(network.name, image_shape_CHW=samples.image_shape_CHW, num_classes=samples.num_classes)
        if network.is_built_in
        else known or 0
        for network, known in zip(config.networks, given_bytes or (None,) * len(config.networks), strict=True)
    ]


def dataset_bytes(config: PeerExperimentConfig, samples: PartitionSizes) -> int:
    """Return the size of the data set in the store. It is 0 for a streamed data set, which is not copied."""
    return 0 if config.data.storage == "streamed" else packed_bytes(samples.total, samples.image_shape_CHW)


def packed_bytes(num_samples: int, image_shape_CHW: tuple[int, int, int]) -> int:
    """Return the approximate size of a packed data set on disk: one byte for each value, and the labels."""
    return num_samples * (math.prod(image_shape_CHW) + _LABEL_BYTES)


def _pair_samples(
    transfer_set: str, samples: PartitionSizes, size: Callable[[str, SourceSizes], int], pairs: Pairs
) -> int:
    """Return the total size of the transfer sets of all pairs.

    Args:
        transfer_set: The kind of the transfer sets.
        samples: The sizes of the parts of the data set.
        size: A function that returns the size of one transfer set, given the kind of the transfer set and the sizes of
            its sources.
        pairs: The pairs.
    """
    facts, sizes_P = TRANSFER_SETS[transfer_set], samples.training_by_peer
    if facts.is_split and facts.depends_on_student and facts.depends_on_teacher:
        sizes_Q2 = np.array(sizes_P)[np.stack(pairs.as_arrays(), axis=1)]
        of_both, nums = np.unique(sizes_Q2, axis=0, return_counts=True)
        return sum(
            num * size(transfer_set, SourceSizes(own, teachers, samples.public))
            for (own, teachers), num in zip(of_both.tolist(), nums.tolist(), strict=True)
        )
    # Each peer is the student of all its partners, and the teacher of as many. Unless the batches of a student and
    # those of its teacher meet, sums over all pairs do not change if each teacher has as many samples as its student.
    return (
        pairs.num_pairs
        // len(sizes_P)
        * sum(size(transfer_set, SourceSizes(num, num, samples.public)) for num in sizes_P)
    )


def _control_samples(transfer_set: str, num: int, num_partners: int) -> int:
    """Return how many samples pass through students in one epoch of all fine-tuning at one learning rate.

    A student is fine-tuned once for each teacher if the transfer set depends on the teacher, and otherwise once. The
    result is 0 for a transfer set without labels.

    Args:
        transfer_set: The kind of the transfer sets.
        num: The number of samples that pass through students in one epoch of one distillation of every pair.
        num_partners: The number of partners of each peer.
    """
    facts = TRANSFER_SETS[transfer_set]
    if not facts.uses_labels:
        return 0
    return num if facts.depends_on_teacher else num // num_partners
