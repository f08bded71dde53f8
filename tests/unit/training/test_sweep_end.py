"""The end of a sweep frees what it used, in lanes too: at once, not when the garbage collector runs."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from peerkd.study.trials import Unit
from peerkd.training.captured import graphs, lane_pool
from peerkd.training.captured.lanes import EagerSteps
from peerkd.training.sweep import SweepRunner
from tests.plans import whole_plan

CPU = torch.device("cpu")


class CountedOwner:
    """A stand-in for the owner of CUDA graphs, whose lanes call their steps."""

    opened: ClassVar[list["CountedOwner"]] = []

    def __init__(self, device: torch.device) -> None:
        self.is_open = True
        CountedOwner.opened.append(self)

    def new_steps(self) -> EagerSteps:
        assert self.is_open
        return EagerSteps()

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[CountedOwner]:
    monkeypatch.setattr(CountedOwner, "opened", [])
    monkeypatch.setattr(graphs, "GraphOwner", CountedOwner)
    monkeypatch.setattr(lane_pool, "_MEASURED_SECONDS", 1e-6)
    return CountedOwner.opened


def a_unit(tiny: Any) -> Unit:
    return next(
        replace(unit, trials=unit.trials[:2])
        for unit in whole_plan(tiny.config)
        if unit.teacher is not None and tiny.config.architectures[unit.trials[0].student] == "mlp"
    )


def references_to(sweep: SweepRunner) -> list[tuple[str, weakref.ref[object]]]:
    """Return a weak reference to a sweep and each of its large parts, with its name."""
    parts: list[object] = [sweep, sweep.data, sweep.engines, sweep._evaluator, sweep.data.peer(0)]
    for pool in sweep.engines._lane_pools.values():
        for lanes, _ in pool._lanes.values():
            parts += [pool, lanes, lanes.student(0).network]
    return [(type(part).__name__, weakref.ref(part)) for part in parts]


@pytest.mark.parametrize("has_lanes", [False, True])
@pytest.mark.usefixtures("owners")
def test_a_finished_sweep_is_freed_without_the_garbage_collector(has_lanes: bool, tiny, tmp_path: Path) -> None:
    unit = a_unit(tiny)
    gc.collect()
    gc.disable()
    try:
        with SweepRunner(replace(tiny.sweep_inputs, states_folder=tmp_path), device=CPU) as sweep:
            sweep.engines._has_lanes = has_lanes
            assert [*sweep.do(unit)]
            references = references_to(sweep)
            assert len(references) == (8 if has_lanes else 5)
        del sweep
        assert [name for name, reference in references if reference() is not None] == []
    finally:
        gc.enable()


def test_lanes_of_a_sweep_have_one_owner_that_ends_with_it(tiny, owners: list[CountedOwner]) -> None:
    with SweepRunner(tiny.sweep_inputs, device=CPU) as sweep:
        assert owners == []
        sweep.engines._has_lanes = True
        assert [*sweep.do(a_unit(tiny))]
        assert [owner.is_open for owner in owners] == [True]
    assert [owner.is_open for owner in owners] == [False]
