"""Groups of students whose loss sets its temperature: the state of the temperature goes from one call to the next."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.study.trials import Setting, Trial
from peerkd.training.stacked.students import Students
from peerkd.training.student_groups import SingleStudent, StackedGroup, StudentGroup
from peerkd.training.trial_state import TrialState, load_state, save_state
from tests.distillations import NUM_EPOCHS, Trials, assert_same

CONTROL = Trial(1, None, "student", Setting(None, 0.0, 0.0))
TAUGHT = Trial(1, 2, "student", Setting(1.0, 0.3, 0.3))
OTHER = Trial(1, 2, "student", Setting(1.0, 0.9, 0.9, 0.05))


def single(made: Trials, trials: Sequence[Trial], starts: Sequence[TrialState]) -> StudentGroup:
    (trial,), (start,) = trials, starts
    return SingleStudent(made.network(0), trial, start, recipe=made.recipe)


def stacked(made: Trials, trials: Sequence[Trial], starts: Sequence[TrialState]) -> StudentGroup:
    shape = {"image_shape_CHW": made.dataset.image_shape, "num_classes": made.dataset.num_classes}
    weights, momenta = ([each[place] for each in starts] for place in range(2))
    return StackedGroup(Students("mlp", weights, momenta=momenta, **shape), trials, starts, recipe=made.recipe)


def trained(
    way, made: Trials, trials: Sequence[Trial], starts: Sequence[TrialState], epochs: range
) -> list[TrialState]:
    group = way(made, trials, starts)
    group.train(made.samples, [None if each.teacher is None else made.teacher(2) for each in trials], epochs=epochs)
    assert group.are_finite() == [True] * len(trials)
    return group.states()


@pytest.mark.parametrize("name", [name for name, loss in PAIR_LOSSES.items() if loss.sets_temperature])
@pytest.mark.parametrize(("way", "together"), [(single, [TAUGHT]), (stacked, [CONTROL, TAUGHT, OTHER])])
def test_a_training_that_continues_from_disk_ends_in_the_same_temperature(name, way, together, tmp_path: Path) -> None:
    made = Trials("mlp", loss=PAIR_LOSSES[name])
    starts = [made.start(1)] * len(together)
    whole = trained(way, made, together, starts, range(NUM_EPOCHS))
    first = trained(way, made, together, starts, range(1))
    for number, state in enumerate(first):
        save_state(tmp_path / f"{number}.safetensors", state)
    loaded = [load_state(tmp_path / f"{number}.safetensors") for number in range(len(together))]
    for got, expected in zip(trained(way, made, together, loaded, range(1, NUM_EPOCHS)), whole, strict=True):
        assert_same(got, expected)
    for trial, begun, ended in zip(together, first, whole, strict=True):
        assert (begun.own_temperature != ended.own_temperature) == (trial is not CONTROL)
        assert bool(ended.own_temperature) == (trial is not CONTROL)


@pytest.mark.parametrize("way", [single, stacked])
def test_a_temperature_that_is_not_finite_makes_a_student_not_finite(way) -> None:
    made = Trials("mlp", loss=PAIR_LOSSES["dts"])
    start = made.start(1)._replace(own_temperature=(float("nan"),))
    assert way(made, [TAUGHT], [start]).are_finite() == [False]
    assert way(made, [TAUGHT], [start._replace(own_temperature=(3.0,))]).are_finite() == [True]


def test_both_kinds_of_group_end_in_nearly_the_same_temperature() -> None:
    for name in ("dts", "ctkd"):
        made = Trials("mlp", loss=PAIR_LOSSES[name])
        (alone,) = trained(single, made, [TAUGHT], [made.start(1)], range(NUM_EPOCHS))
        (side,) = trained(stacked, made, [TAUGHT], [made.start(1)], range(NUM_EPOCHS))
        assert side.own_temperature == pytest.approx(alone.own_temperature, rel=1e-4, abs=1e-6)
        assert torch.isfinite(torch.tensor(side.own_temperature)).all()
