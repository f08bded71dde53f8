"""A sweep of several losses and targets in lanes, on the CPU: each pool of lanes computes one loss."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.training import DistillConfig
from peerkd.study.trials import Unit, record_identity
from peerkd.training.captured.lane_pool import LaneGroup, LanePool
from peerkd.training.inputs import EngineChoice
from peerkd.training.student_groups import SingleStudent
from peerkd.training.sweep import SweepRunner
from tests.plans import whole_plan

LOSSES, TARGETS = ("kl", "dts", "ttm"), ("teacher", "class_counts+prior_adjusted")


@pytest.fixture
def several(tiny, tmp_path: Path) -> SweepRunner:
    """A sweep as on a GPU, except for the device, with the numbers of lanes not measured."""
    tried = tiny.config.sweep.model_copy(update={"losses": LOSSES, "targets": TARGETS})
    config = tiny.config.model_copy(update={"sweep": tried})
    sweep = SweepRunner(replace(tiny.sweep_inputs, config=config), device=torch.device("cpu"))

    def open_pool(recipe: DistillConfig, *, num_architectures: int) -> LanePool:
        pool = LanePool(
            lambda name: sweep.data.build_network(PeerNetwork(name)),
            num_architectures=num_architectures,
            image_shape_CHW=sweep.data.dataset.image_shape,
            num_classes=sweep.data.dataset.num_classes,
            recipe=recipe,
            device=torch.device("cpu"),
            max_batch_samples=2 * recipe.batch_size,
        )
        pool._measure = lambda lanes, sizes: (lanes.grow(4, batch_sizes=sizes), (4, 1.0))[1]  # type: ignore[method-assign]
        return pool

    sweep.engines._has_lanes, sweep.engines._open_lane_pool = True, open_pool
    return sweep


def mixed_unit(several: SweepRunner) -> Unit:
    """Return a unit of one MLP with trials of every loss and target, in mixed order."""
    unit = next(
        unit
        for unit in whole_plan(several._config)
        if unit.teacher is not None and several._config.architectures[unit.trials[0].student] == "mlp"
    )
    chosen = {(trial.setting.loss, trial.setting.target): trial for trial in unit.trials}
    both = [chosen[loss, target] for target in TARGETS for loss in LOSSES]
    return replace(unit, trials=tuple(both))


def test_lanes_of_a_pool_have_one_loss_and_a_loss_without_lanes_is_trained_alone(
    several: SweepRunner, monkeypatch
) -> None:
    made: list[tuple[str, list[str], list[str]]] = []
    students = several.engines.students

    def watched(trials, starts, samples):
        group = students(trials, starts, samples)
        made.append(
            (type(group).__name__, *([getattr(t.setting, name) for t in trials] for name in ("loss", "target")))
        )
        return group

    monkeypatch.setattr(several.engines, "students", watched)
    unit = mixed_unit(several)
    records = {record_identity(each): each for each in several.do(unit) if not isinstance(each, EngineChoice)}
    assert [(kind, losses) for kind, losses, _ in made] == [
        (SingleStudent.__name__, ["dts"]),
        (SingleStudent.__name__, ["dts"]),
        (LaneGroup.__name__, ["kl"] * 2),
        (LaneGroup.__name__, ["ttm"] * 2),
    ]
    # A target is a tensor that is made before the training, so one capture serves all.
    assert all(set(targets) == set(TARGETS) for kind, _, targets in made if kind == LaneGroup.__name__)
    assert set(several.engines._lane_pools) == {"kl", "ttm"}
    assert {name: pool._recipe.loss.kind for name, pool in several.engines._lane_pools.items()} == {
        "kl": "kl",
        "ttm": "ttm",
    }
    for trial in unit.trials:
        (alone,) = [each for each in several.do(replace(unit, trials=(trial,))) if not isinstance(each, EngineChoice)]
        assert {**records[trial.identity], "seconds": 0} == {**alone, "seconds": 0}


def test_the_log_says_which_loss_has_no_captured_steps(several: SweepRunner) -> None:
    (text,) = [each.text for each in several.engines._first_choices() if "captured" in each.text]
    assert text.startswith("dts: one student at a time, because the loss sets its temperature after each step")
    assert several.engines._captured_losses == ["kl", "ttm"]
