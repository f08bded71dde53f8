"""Rates of the runs of a study. Their values are not asserted, because other tests run at the same time."""

import pytest

from peerkd.config.pipelines import PCL
from peerkd.config.resolve import resolve
from peerkd.training.forecast_study import RunRates, SplitSizes
from peerkd.training.online import rates

SAMPLES = SplitSizes(training=300, validation=40, test=61, total=401, image_shape_CHW=(1, 8, 8), num_classes=10)


def test_a_run_is_measured_by_real_epochs_with_and_without_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[rates._Sizes] = []
    write = rates._write_study

    def counted(samples, sizes, folder):
        measured.append(sizes)
        write(samples, sizes, folder)

    monkeypatch.setattr(rates, "_write_study", counted)
    monkeypatch.setattr(rates, "_REPETITION_SECONDS", 0.05)
    # A learning rate at which networks diverge must not end the measurement.
    config = resolve(
        PCL, preset="digits", overrides="methods=[pcl] training.learning_rate=1e9 training.num_processes=2"
    )
    perform = rates.start(config, SAMPLES, "cpu", process_index=0)
    (found,) = perform(config.runs[0])
    assert isinstance(found, RunRates)
    assert 0 < found.training < 1
    assert 0 <= found.evaluation < 1
    pilot, real = measured
    assert pilot == (8, 8)
    assert real.num_trained <= 300
    assert real.num_evaluated <= 101


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1e-6, (300, 101)),  # The whole study is affordable.
        (1 / 200, (192, 101)),  # Batches of 64 samples.
        (1 / 40, (40, 40)),  # A single batch, which is smaller than those of the study.
        (10.0, (8, 8)),
    ],
)
def test_a_slow_run_is_measured_on_fewer_samples(seconds: float, expected: tuple[int, int]) -> None:
    rough = RunRates(training=seconds, evaluation=0.0)
    assert rates._affordable(rough, SAMPLES, batch_size=64) == expected
