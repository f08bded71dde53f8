"""Equality of trials: however they are grouped, ordered and split into epoch ranges, each ends as it does alone."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerkd.study.trials import Trial, Unit, record_identity
from peerkd.training.group_size import SIZES, GroupSizes
from peerkd.training.inputs import EngineChoice, EpochRange, JointEpochRanges
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path
from tests.plans import whole_plan

CPU = torch.device("cpu")
NUM_EXAMPLES = 2

MAX_TRIALS = {"float32": 4, "bfloat16": 1}
"""The largest number of trials of a unit. Most processors take a hundred times as long for them in bfloat16."""


RATE = 0.05
"""A rate in addition to the recipe's 0.02."""


LOSSES = ("ctkd", "dkd", "dts", "jensen_shannon", "kl")
"""One of them has no gradient that is written by hand, and two set their temperatures themselves."""

TARGET = "class_counts+prior_adjusted"


RESNET = 2
"""The student whose trials take seconds each, and many times as long in bfloat16 on a CPU."""


def planned(tiny, *, precision: str = "float32") -> list[Unit]:
    """Return the units of the experiment, each with trials at two learning rates, of several losses and two targets.

    In bfloat16, the ResNet has no trials.
    """
    dimensions = {"learning_rates": (RATE,), "losses": LOSSES, "targets": (TARGET,)}
    sweep = tiny.config.sweep.model_copy(update=dimensions)
    units = list(whole_plan(tiny.config.model_copy(update={"sweep": sweep})))
    # Trials without values of their own use the recipe's.
    written = {_key(unit): unit.trials for unit in whole_plan(tiny.config)}
    return [
        replace(unit, trials=unit.trials + written[_key(unit)])
        for unit in units
        if precision == "float32" or unit.trials[0].student != RESNET
    ]


def _key(unit: Unit) -> tuple[object, ...]:
    trial = unit.trials[0]
    return unit.samples, unit.teacher, trial.student, trial.teacher, trial.transfer_set


def opened(tiny, folder: Path, *, size: int = 1, precision: str = "float32", **changes: Any) -> SweepRunner:
    distill = tiny.config.distill.model_copy(update={"precision": precision}).changed(**changes)
    several = tiny.config.sweep.model_copy(update={"losses": LOSSES})
    config = tiny.config.model_copy(update={"distill": distill, "sweep": several})
    sweep = SweepRunner(replace(tiny.sweep_inputs, config=config, states_folder=folder), device=CPU)
    sweep.engines._group_sizes = FixedSize(size)
    return sweep


class FixedSize(GroupSizes):
    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def best(self, *_: Any, **__: Any) -> int:
        return self._size


def done(sweep: SweepRunner, task: Unit | EpochRange) -> dict[Trial, dict[str, Any]]:
    unit = task.unit if isinstance(task, EpochRange) else task
    records = [made for made in sweep.do(task) if not isinstance(made, EngineChoice)]
    of_identity = {record_identity(record): {**record, "seconds": None} for record in records}
    assert len(of_identity) == len(records) == len(unit.trials)
    return {trial: of_identity[trial.identity] for trial in unit.trials}


def assert_same_state(one: Path, other: Path) -> None:
    (*tensors, own_temperature), (*other_tensors, other_temperature) = load_state(one), load_state(other)
    assert own_temperature == other_temperature
    for ours, theirs in zip(tensors, other_tensors, strict=True):
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert torch.equal(tensor, theirs[name]), name


class Alone:
    """Each trial alone, in a sweep that has done nothing else, computed when it is first requested."""

    def __init__(self, tiny, folder: Path, *, precision: str) -> None:
        self.folder, self.precision = folder, precision
        self._tiny, self._records = tiny, dict[Trial, dict[str, Any]]()

    def record(self, unit: Unit, trial: Trial) -> dict[str, Any]:
        if trial not in self._records:
            fresh = opened(self._tiny, self.folder, precision=self.precision)
            self._records |= done(fresh, replace(unit, trials=(trial,)))
        return self._records[trial]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def alone(request: pytest.FixtureRequest, tiny, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tiny, tmp_path_factory.mktemp("alone"), precision=request.param)


@st.composite
def part_of(draw: st.DrawFn, unit: Unit, *, precision: str) -> Unit:
    """Draw some trials of a unit, in any order."""
    trials = st.lists(st.sampled_from(unit.trials), min_size=1, max_size=MAX_TRIALS[precision], unique=True)
    return replace(unit, trials=tuple(draw(trials)))


@settings(max_examples=NUM_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_trial_does_not_depend_on_trials_trained_with_it(tiny, alone: Alone, data: st.DataObject) -> None:
    units = st.sampled_from(planned(tiny, precision=alone.precision))
    chosen = [
        data.draw(part_of(unit, precision=alone.precision))
        for unit in data.draw(st.lists(units, min_size=1, max_size=2, unique_by=id))
    ]
    size, is_cut = data.draw(st.sampled_from(SIZES)), data.draw(st.booleans())
    with TemporaryDirectory() as name:
        sweep = opened(tiny, Path(name), size=size, precision=alone.precision)
        for unit in chosen:
            if is_cut:
                done(sweep, EpochRange(unit=unit, first_epoch=0, last_epoch=1))
                # Another process may continue.
                sweep = opened(tiny, Path(name), size=data.draw(st.sampled_from(SIZES)), precision=alone.precision)
            task = EpochRange(unit=unit, first_epoch=1, last_epoch=2) if is_cut else unit
            for trial, record in done(sweep, task).items():
                assert record == alone.record(unit, trial)
                assert_same_state(*(state_path(each, trial, num_epochs=2) for each in (Path(name), alone.folder)))


@settings(max_examples=NUM_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_trial_does_not_depend_on_trials_of_other_teachers(tiny, alone: Alone, data: st.DataObject) -> None:
    units = [unit for unit in planned(tiny, precision=alone.precision) if unit.teacher is not None]
    samples = data.draw(st.sampled_from(sorted({unit.samples for unit in units})))
    together = [data.draw(part_of(unit, precision=alone.precision)) for unit in units if unit.samples == samples]
    first_epoch, size = data.draw(st.sampled_from([0, 1])), data.draw(st.sampled_from(SIZES))
    with TemporaryDirectory() as name:
        sweep = opened(tiny, Path(name), size=size, precision=alone.precision)
        for unit in together[: len(together) * first_epoch]:
            done(sweep, EpochRange(unit=unit, first_epoch=0, last_epoch=1))
        task = JointEpochRanges(
            ranges=tuple(EpochRange(unit=unit, first_epoch=first_epoch, last_epoch=2) for unit in together)
        )
        made = [{**made, "seconds": None} for made in sweep.do(task) if not isinstance(made, EngineChoice)]
        records = {record_identity(record): record for record in made}
        asked = [(unit, trial) for unit in together for trial in unit.trials]
        assert len(asked) == len(records) == len(made)
        for unit, trial in asked:
            assert records[trial.identity] == alone.record(unit, trial)
            assert_same_state(*(state_path(each, trial, num_epochs=2) for each in (Path(name), alone.folder)))


@pytest.mark.parametrize("size", [1, 8])
def test_an_explicit_rate_equals_the_recipes(tiny, tmp_path: Path, size: int) -> None:
    rate = tiny.config.distill.learning_rate
    for unit in (next(unit for unit in whole_plan(tiny.config) if unit.trials[0].student == peer) for peer in range(2)):
        trials = unit.trials[:3]
        at_rate = tuple(trial._replace(setting=trial.setting._replace(learning_rate=rate)) for trial in trials)
        wanted = done(opened(tiny, tmp_path, size=size), replace(unit, trials=trials))
        got = done(opened(tiny, tmp_path, size=size), replace(unit, trials=at_rate))
        assert list(got.values()) == [{**record, "learning_rate": rate} for record in wanted.values()]


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize(("loss", "target"), [("dkd", TARGET), ("jensen_shannon", "teacher")])
def test_a_loss_and_a_target_of_a_trial_equal_the_recipes(
    tiny, tmp_path: Path, size: int, loss: str, target: str
) -> None:
    for peer in range(2):
        unit = next(
            unit
            for unit in whole_plan(tiny.config)
            if unit.teacher is not None and unit.trials[0].student == peer and unit.trials[0].transfer_set == "student"
        )
        trials = unit.trials[:2]
        named = tuple(trial._replace(setting=trial.setting._replace(loss=loss, target=target)) for trial in trials)
        wanted = done(opened(tiny, tmp_path, size=size, loss=loss, target=target), replace(unit, trials=trials))
        got = done(opened(tiny, tmp_path, size=size), replace(unit, trials=(*named, *trials)))
        assert [got[trial] for trial in named] == [
            {**record, "loss": loss, "target": target} for record in wanted.values()
        ]
        # A trial without names, which has the loss and the target of the recipe, ends elsewhere.
        ends = (load_state(state_path(tmp_path, each[0], num_epochs=2)).weights for each in (named, trials))
        assert not all(torch.equal(*pair) for pair in zip(*(end.values() for end in ends), strict=True))


def test_ranges_that_cannot_be_joined_are_refused(tiny, tmp_path: Path) -> None:
    units = [unit for unit in whole_plan(tiny.config) if unit.teacher is not None]
    ranges = tuple(EpochRange(unit=units[0], first_epoch=0, last_epoch=last) for last in (1, 2))
    with pytest.raises(ValueError, match=r"^ranges must have the same transfer set and epochs, got 2 combinations\.$"):
        list(opened(tiny, tmp_path).do(JointEpochRanges(ranges=ranges)))


def test_an_epoch_range_reports_the_epochs_so_far(tiny, tmp_path: Path) -> None:
    unit = next(unit for unit in whole_plan(tiny.config) if unit.teacher is not None)
    (record, *_) = done(opened(tiny, tmp_path), EpochRange(unit=unit, first_epoch=0, last_epoch=1)).values()
    assert record["epochs"] == 1


def test_an_epoch_range_without_a_saved_state_is_refused(tiny, tmp_path: Path) -> None:
    unit = next(iter(whole_plan(tiny.config)))
    with pytest.raises(ValueError, match=r"A trial can only continue from a saved state, and 000"):
        done(opened(tiny, tmp_path), EpochRange(unit=unit, first_epoch=1, last_epoch=2))


def test_bfloat16_is_near_and_not_the_same(tiny, tmp_path: Path) -> None:
    whole = next(unit for unit in whole_plan(tiny.config) if unit.teacher is not None)
    unit = replace(whole, trials=whole.trials[:2])
    for precision in ("float32", "bfloat16"):
        done(opened(tiny, tmp_path / precision, precision=precision), unit)
    (trial, *_) = unit.trials
    one, other = (
        load_state(state_path(tmp_path / precision, trial, num_epochs=2)).weights
        for precision in ("float32", "bfloat16")
    )
    weights = [name for name, tensor in one.items() if tensor.dtype == torch.float32 and tensor.dim() > 1]
    differences = [((one[name] - other[name]).norm() / one[name].norm()).item() for name in weights]
    assert 0 < max(differences) < 0.05
