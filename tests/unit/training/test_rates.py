"""Rates of this machine. Their values are not asserted, because other tests run at the same time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.training import rates
from peerkd.training.distill import TeacherLogits, teacher_logits
from peerkd.training.forecast import PartitionSizes, Rates
from peerkd.training.samples import SampleSet
from peerkd.training.timing import timed

SAMPLES = PartitionSizes((1_078,), 270, 449, 0, 0, 1_797, (1, 8, 8), 10)


@pytest.mark.parametrize(
    "overrides",
    [
        "peers.architectures=[mlp]",
        "peers.architectures=[small_cnn] distill.precision=bfloat16 distill.conventions.teacher_mode=train",
        "peers.architectures=[small_cnn] pretrain.method=pcl partition.own_evaluation=held_out",
        "peers.architectures=[resnet20] sweep.transfer_sets=[public_unlabelled] partition.public_fraction=0.1",
    ],
)
def test_every_rate_is_measured(overrides: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_REPETITION_SECONDS", 0.05)
    config = resolve(JOINTKD, preset="digits", overrides=f"sweep.temperatures=[1] {overrides}")
    perform = rates.start(config, SAMPLES, "cpu", process_index=0)
    (measured,) = perform(config.networks[0])
    assert isinstance(measured, Rates)
    assert min(measured.pretraining, measured.distillation, measured.teacher) > 0
    assert measured.evaluation >= 0
    assert max(measured) < 10


@pytest.mark.parametrize(("overrides", "num_passes"), [("", 1), ("augmentation.horizontal_flip=true", 2)])
def test_the_teacher_is_timed_by_its_passes_over_the_set(
    overrides: str, num_passes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []

    def counted(teacher: nn.Module, samples: SampleSet, **options: Any) -> TeacherLogits:
        passed.append(len(samples))
        return teacher_logits(teacher, samples, **options)

    monkeypatch.setattr("peerkd.training.sweep_data.teacher_logits", counted)
    config = resolve(JOINTKD, preset="digits", overrides=f"peers.architectures=[mlp] {overrides}")
    inputs = rates.RateInputs(config=config, samples=SAMPLES, device="cpu")
    scale = rates._Workload(num_samples=8, num_evaluated=8, num_trials=2, epochs=2)
    units = rates._Units(inputs, PeerNetwork("mlp"), scale, folder=tmp_path, device=torch.device("cpu"))
    passed.clear()
    assert units.seconds(doubled=True, only_teacher=True) > 0
    assert passed == [16] * num_passes


@pytest.mark.parametrize(("overrides", "num_passes"), [("", 1), ("distill.conventions.teacher_mode=train", 3)])
def test_rates_reproduce_the_measured_times(overrides: str, num_passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made_of = Rates(pretraining=7e-6, distillation=3e-6, teacher=2e-6, evaluation=1e-6)
    opened: list[Any] = []

    class Reckoned:
        def __init__(self, inputs: rates.RateInputs, architecture: str, scale: rates._Workload, **places: Any) -> None:
            # A process can have the lanes of one sweep at a time.
            assert all(each.is_closed for each in opened)
            opened.append(self)
            self.is_closed, self._scale = False, scale

        def close(self) -> None:
            self.is_closed = True

        def seconds(self, *, doubled: bool, only_teacher: bool = False) -> float:
            scale, num_samples = self._scale, self._scale.num_samples * (1 + doubled)
            of_teacher = made_of.teacher * num_samples * num_passes
            of_trial = made_of.distillation * num_samples * scale.epochs + made_of.evaluation * scale.num_evaluated
            return of_teacher if only_teacher else of_teacher + scale.num_trials * of_trial

    monkeypatch.setattr(rates, "_Units", Reckoned)
    monkeypatch.setattr(rates, "_pretraining_seconds", lambda *_, **__: made_of.pretraining)
    config = resolve(JOINTKD, preset="digits", overrides=f"distill.epochs=3 {overrides}")
    inputs = rates.RateInputs(config=config, samples=SAMPLES, device="cpu")
    assert rates.measure(inputs, PeerNetwork("small_cnn"), device=torch.device("cpu")) == pytest.approx(made_of)
    assert [each.is_closed for each in opened] == [True, True]


@pytest.mark.parametrize("pilot_seconds", [1e-4, 0.1, 100.0])
def test_a_slow_network_is_measured_on_fewer_samples(pilot_seconds: float) -> None:
    config = resolve(JOINTKD, preset="digits", overrides="peers.architectures=[resnet20]")
    inputs = rates.RateInputs(config=config, samples=SAMPLES, device="cpu")
    pilot = rates._Workload(num_samples=4, num_evaluated=4, num_trials=1, epochs=1)
    scale = rates._scale(inputs, pilot, pilot_seconds=pilot_seconds)
    work = scale.num_samples * scale.num_trials * scale.epochs
    assert 8 <= scale.num_samples <= 107
    assert work <= max(8, rates._REPETITION_SECONDS * 4 / pilot_seconds / 5)
    if pilot_seconds == 1e-4:
        assert (scale.num_samples, scale.epochs, scale.num_trials) == (107, 3, 20)


def test_units_are_measured_on_the_requested_device() -> None:
    assert timed(lambda: None, torch.device("cpu")) >= 0
