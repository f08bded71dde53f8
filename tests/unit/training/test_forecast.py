import numpy as np
import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.dataset import RawDataset
from peerkd.data.sources import read_source
from peerkd.stages.division import divide
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.training.forecast import PartitionSizes, Rates, forecast, measure_partition, process_seconds
from tests.plans import whole_plan

DIGITS = read_source("digits", path=None)
ALL_SETS = f"sweep.transfer_sets=[{','.join(TRANSFER_SETS)}] partition.public_fraction=0.1"


def experiment(overrides: str = "") -> ExperimentConfig:
    return resolve(JOINTKD, preset="digits", overrides=overrides)


def divided(config: ExperimentConfig, raw: RawDataset = DIGITS) -> PartitionSizes:
    return measure_partition(raw, divide(config, raw))


def two_splits() -> RawDataset:
    """Return 3,000 training and 500 test samples of ten classes in turn, without pixels."""
    return RawDataset(
        images_NCHW=np.zeros((3_500, 1, 8, 8), np.uint8),
        labels_N=np.arange(3_500) % 10,
        num_train=3_000,
        class_names=tuple("0123456789"),
        columns={},
        name="empty",
    )


@pytest.mark.parametrize("raw", [DIGITS, two_splits()], ids=["one split", "two splits"])
@pytest.mark.parametrize(
    "overrides",
    [
        "",
        f"{ALL_SETS} partition.num_peers=4",
        f"{ALL_SETS} partition.num_peers=3 partition.quantity_skew.kind=dirichlet",
        "partition.num_peers=6 partition.own_evaluation=held_out partition.label_skew.kind=iid",
        "partition.num_peers=2 augmentation.horizontal_flip=true",
        "partition.num_peers=2 distill.conventions.teacher_mode=train",
        f"{ALL_SETS} partition.num_peers=4 sweep.learning_rates=[0.005,0.1]",
        f"{ALL_SETS} partition.num_peers=6 sweep.num_partners=2",
    ],
)
def test_the_numbers_are_those_of_the_real_partition(overrides: str, raw: RawDataset) -> None:
    config = experiment(overrides)
    teachers_vary = "flip" in overrides or "teacher_mode" in overrides
    parts = divide(config, raw)
    num_distilled = num_controlled = num_teacher_forwards = num_trials = num_controls = 0
    for unit in whole_plan(config):
        num_samples = sum(len(parts.train[owner]) for owner in unit.owners) if unit.owners else len(parts.public)
        num_trained = num_samples
        if unit.unlabelled_owners:
            num_batches = [-(-len(part) // 32) for part in (parts.train[unit.owners[0]], parts.public)]
            num_trained = num_samples * max(num_batches) / num_batches[0]
            num_samples = len(parts.public)
            num_trained += num_samples * max(num_batches) / num_batches[1]
        num_distilled += num_trained * len(unit.trials) * config.distill.epochs
        num_controlled += num_trained * len(unit.trials) * config.distill.epochs if unit.teacher is None else 0
        num_teacher_forwards += (
            num_samples * (config.distill.epochs if teachers_vary else 1) if unit.teacher is not None else 0
        )
        num_trials += len(unit.trials)
        num_controls += sum(trial.setting.temperature is None for trial in unit.trials)
    num_evaluated = sum(
        np.union1d(everyone, own).size
        for everyone, owns in ((parts.validation, parts.own_validation), (parts.test, parts.own_test))
        for own in owns
    ) / len(parts.train)

    expected = forecast(config, divided(config, raw))
    assert (expected.num_trials, expected.num_controls) == (num_trials, num_controls)
    assert expected.num_pairs == expected.num_peers * (2 if "num_partners" in overrides else expected.num_peers - 1)
    assert expected.num_distillation_samples == pytest.approx(num_distilled, rel=0.01)
    assert expected.num_control_samples == pytest.approx(num_controlled, rel=0.01)
    assert expected.num_teacher_samples == pytest.approx(num_teacher_forwards, rel=0.01)
    assert expected.num_pretraining_samples == pytest.approx(sum(map(len, parts.train)) * 30, rel=0.01)
    # Each peer is evaluated after its pre-training, and four times when its better network is published.
    num_judged = (num_trials + 5 * expected.num_peers) * num_evaluated
    assert expected.num_evaluation_samples == pytest.approx(num_judged, rel=0.01)


def test_the_students_old_self_predicts_the_samples_of_the_divergence_if_it_has_a_part_in_the_target() -> None:
    plain, joined = (
        forecast(experiment(f"{ALL_SETS} distill.target.kind={kind}"), divided(experiment(ALL_SETS)))
        for kind in ("teacher", "mean")
    )
    samples = plain.samples
    # The divergence has one training set in three kinds, two in one kind, and the public set in three.
    of_pairs = 9 * (5 * samples.training + 3 * 10 * samples.public)
    assert joined.num_teacher_samples == plain.num_teacher_samples + of_pairs
    assert joined.num_distillation_samples == plain.num_distillation_samples


def test_the_time_is_that_of_every_kind_of_sample_of_every_architecture() -> None:
    config = experiment("partition.num_peers=4 peers.architectures=[mlp,small_cnn,mlp,mlp]")
    expected = forecast(config, divided(config))
    counts = (
        expected.num_pretraining_samples,
        expected.num_distillation_samples + expected.num_improvement_samples,
        expected.num_teacher_samples,
        expected.num_evaluation_samples,
    )
    slow, fast = Rates(4.0, 3.0, 2.0, 1.0), Rates(0.0, 0.0, 0.0, 0.0)
    of_slow = sum(num * seconds for num, seconds in zip(counts, slow, strict=True))
    assert process_seconds(
        expected, {PeerNetwork("mlp"): slow, PeerNetwork("small_cnn"): slow}, config
    ) == pytest.approx(of_slow)
    assert process_seconds(
        expected, {PeerNetwork("mlp"): slow, PeerNetwork("small_cnn"): fast}, config
    ) == pytest.approx(0.75 * of_slow)


def test_the_bytes_of_the_digits_sweep_are_about_those_of_a_real_run() -> None:
    expected = forecast(experiment(), divided(experiment()))
    assert expected.dataset_bytes == 1797 * (64 + 8)
    # A run of the preset was measured: 1,601 bytes in a record, 93 in a row.
    assert expected.journals_bytes == pytest.approx(5_590 * 1_601, rel=0.2)
    assert expected.table_bytes == pytest.approx(5_590 * 93.4, rel=0.2)


def test_evaluation_after_every_epoch_is_counted() -> None:
    plain, by_epoch = (
        forecast(experiment(f"sweep.validate_every_epoch={word}"), divided(experiment())) for word in ("false", "true")
    )
    num_judged = plain.samples.validation + plain.samples.test + plain.samples.own
    num_more = (experiment().distill.epochs - 1) * plain.num_trials * num_judged
    assert by_epoch.num_evaluation_samples == plain.num_evaluation_samples + num_more
    assert by_epoch.num_distillation_samples == plain.num_distillation_samples
    assert by_epoch.journals_bytes > plain.journals_bytes
    assert by_epoch.table_bytes > plain.table_bytes


def test_a_forecast_for_a_thousand_peers_is_as_fast_as_for_ten() -> None:
    samples = PartitionSizes((45,) * 1_000, 5_000, 10_000, 0, 0, 60_000, (3, 32, 32), 10)
    expected = forecast(resolve(JOINTKD, preset="poster", overrides="partition.num_peers=1000"), samples)
    assert expected.num_trials == 61_939_000
    assert expected.num_distillation_samples == 10 * 45_000 * (20 * 4 * 999 + 3 * 999 + 1)


def test_own_samples_exclude_the_global_sets() -> None:
    four_peers = "partition.num_peers=4 partition.own_evaluation="
    matched, held_out = (divided(experiment(four_peers + word)) for word in ("matched", "held_out"))
    assert matched.own == 0
    assert held_out.own == pytest.approx(0.2 * matched.training / 4, abs=2)
    assert held_out.training == pytest.approx(0.8 * matched.training, abs=8)


def test_a_network_of_another_package_takes_as_many_bytes_as_its_given_file() -> None:
    given = [{"name": name, "network": network} for name, network in (("a", "mlp"), ("b", "my_nets:build"))]
    config = ExperimentConfig.from_mapping({"peers": {"given": given}, "partition": {"min_samples_per_peer": 10}})
    samples = divided(config)
    unknown = forecast(config, samples).weights_bytes
    known = forecast(config, samples, given_bytes=[None, 54_321]).weights_bytes
    assert known == unknown + 54_321 > 54_321


def test_the_chosen_trial_of_each_student_is_trained_once_more_on_the_largest_set_at_most() -> None:
    config = experiment("partition.num_peers=4 sweep.transfer_sets=[student,both]")
    parts = divide(config, DIGITS)
    of_both = 2 * sum(map(len, parts.train)) * config.distill.epochs
    assert forecast(config, divided(config)).num_improvement_samples == pytest.approx(of_both, rel=0.01)
