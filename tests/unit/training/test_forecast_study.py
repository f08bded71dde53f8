"""The work of a study of methods, and the time that follows from measured rates."""

from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import PCL
from peerkd.config.resolve import resolve
from peerkd.training.file_sizes import weights_bytes
from peerkd.training.forecast import packed_bytes
from peerkd.training.forecast_study import RunRates, SplitSizes, forecast_study, study_seconds

SAMPLES = SplitSizes(training=100, validation=20, test=30, total=160, image_shape_CHW=(1, 8, 8), num_classes=10)


def study(overrides: str) -> PclConfig:
    return resolve(PCL, overrides=f"num_seeds=2 training.epochs=5 architectures=[mlp,small_cnn] {overrides}")


def test_a_sample_counts_for_each_pass_through_a_network() -> None:
    config = study("methods=[plain,multi_view,ema,dml,kdcl,pcl] collaboration.num_branches=3")
    expected = forecast_study(config, SAMPLES)
    # Three views, or three whole networks, or a mean network that predicts each view once more.
    assert expected.num_passes == {"plain": 1, "multi_view": 3, "ema": 2, "dml": 3, "kdcl": 3, "pcl": 6}
    # Two architectures and two seeds.
    assert expected.num_training_samples["pcl"] == 4 * 5 * 100 * 6
    assert expected.num_runs == 24
    sizes = [weights_bytes(name, image_shape_CHW=(1, 8, 8), num_classes=10) for name in ("mlp", "small_cnn")]
    assert expected.networks_bytes == 12 * sum(sizes)
    assert expected.dataset_bytes == packed_bytes(160, (1, 8, 8))


def test_the_last_epoch_is_always_evaluated() -> None:
    expected = forecast_study(study("methods=[plain] evaluation.every_epochs=2"), SAMPLES)
    assert expected.num_evaluations == 3
    assert expected.num_evaluation_samples == 4 * 3 * 50


def test_the_time_of_a_study_is_that_of_all_its_runs() -> None:
    config = study("methods=[plain,pcl] evaluation.every_epochs=5")
    rates = {
        ("mlp", "plain"): RunRates(training=1.0, evaluation=0.1),
        ("mlp", "pcl"): RunRates(training=10.0, evaluation=0.2),
        ("small_cnn", "plain"): RunRates(training=100.0, evaluation=0.3),
        ("small_cnn", "pcl"): RunRates(training=1000.0, evaluation=0.4),
    }
    # Each of two seeds: 5 epochs with 100 samples, and one evaluation of 50 samples.
    assert study_seconds(forecast_study(config, SAMPLES), rates, config) == 2 * (500 * 1111.0 + 50 * 1.0)
