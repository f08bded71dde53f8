"""What an experiment will take, before it runs: trials, samples, bytes and, from measured rates, time. No torch.

Sizes of training sets are those that are expected of the partition: sums over all pairs hardly depend on who has what.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from peerkd.config.architectures import Architecture, check_image_size
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import TransferSet
from peerkd.data.sources.sizes import SourceSize
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


class SampleCounts(NamedTuple):
    """How many samples are in which part of the data set."""

    training: int
    """Of all peers together."""

    validation: int
    test: int
    public: int

    own: int
    """Validation and test samples that are a peer's alone, on average."""

    total: int
    """Of the data set, after its limits."""


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

    samples: SampleCounts

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


def forecast(config: ExperimentConfig, size: SourceSize) -> Forecast:
    """Return what an experiment does on a data set of that size.

    Raises:
        ValueError: If the data set is too small for the partition or its images for a network, as when it is run.
    """
    for architecture in config.peers.architectures:
        check_image_size(architecture, size.image_shape_CHW)
    samples = count_samples(config, size)
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
        dataset_bytes=0 if config.data.storage == "streamed" else samples.total * (size.num_pixel_bytes + _LABEL_BYTES),
        weights_bytes=sum(
            num * weights_bytes(name, image_shape_CHW=size.image_shape_CHW, num_classes=size.num_classes)
            for name, num in architectures.items()
        ),
        journals_bytes=round(
            num_trials
            * (
                _RECORD_BYTES
                + _RECORD_BYTES_PER_CLASS * size.num_classes
                + _RECORD_BYTES_PER_TEST_SAMPLE * samples.test
                + _RECORD_BYTES_PER_MEASURED_EPOCH * num_measured_epochs
            )
        ),
        table_bytes=round(
            num_trials
            * (
                _ROW_BYTES
                + _ROW_BYTES_PER_CLASS * size.num_classes
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


def count_samples(config: ExperimentConfig, size: SourceSize) -> SampleCounts:
    """Return the sizes of the parts of the data set, to within a few samples.

    Raises:
        ValueError: If there are too few for the partition, in the words of ``peerkd.stages.division``.
    """
    data, partition = config.data, config.partition
    rest = min(size.num_train, data.max_train_samples or size.num_train)
    if size.num_test:
        test = min(size.num_test, data.max_test_samples or size.num_test)
    else:
        test = round(rest * data.test_fraction)
        rest -= test
    cut_fraction = 0.0 if size.num_validation else data.validation_fraction
    if cut_fraction + partition.public_fraction >= 1:
        raise ValueError(
            "data.validation_fraction and partition.public_fraction must leave something to train on, "
            f"got {data.validation_fraction} and {partition.public_fraction}."
        )
    cut, public = round(rest * cut_fraction), round(rest * partition.public_fraction)
    validation = size.num_validation or cut
    pool = rest - cut - public
    if partition.num_peers * partition.min_samples_per_peer > pool:
        raise ValueError(
            f"partition.num_peers must be at most {pool // partition.min_samples_per_peer}, so that each has "
            f"{partition.min_samples_per_peer} of the {pool:,} training samples, got {partition.num_peers:,}."
        )
    held_out = round(pool * partition.held_out_fraction) if partition.own_evaluation == "held_out" else 0
    return SampleCounts(
        training=pool - held_out,
        validation=validation,
        test=test,
        public=public,
        own=held_out // partition.num_peers,
        total=rest + size.num_validation + test,
    )


def _pair_samples(transfer_set: TransferSet, samples: SampleCounts, num_peers: int) -> int:
    """Return the samples of the transfer sets of all pairs, added up."""
    match transfer_set:
        case "student" | "teacher":
            return samples.training * (num_peers - 1)
        case "both":
            return 2 * samples.training * (num_peers - 1)
        case "public" | "public_unlabelled":
            return samples.public * num_peers * (num_peers - 1)


def _control_samples(transfer_set: TransferSet, samples: SampleCounts, num_peers: int) -> int:
    match transfer_set:
        case "student":
            return samples.training
        case "teacher" | "both":
            return _pair_samples(transfer_set, samples, num_peers)
        case "public":
            return samples.public * num_peers
        case "public_unlabelled":
            return 0
