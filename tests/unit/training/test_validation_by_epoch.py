"""Accuracies after every epoch equal those of trials split there, and nothing else changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.results.table import check_record
from peerkd.study.trials import Trial, Unit
from peerkd.training.inputs import EngineChoice, EpochRange
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path
from tests.plans import whole_plan

CPU = torch.device("cpu")


def opened(tiny, folder: Path, *, validates: bool, precision: str = "float32") -> SweepRunner:
    config = tiny.config.model_copy(
        update={
            "sweep": tiny.config.sweep.model_copy(update={"validate_every_epoch": validates}),
            "distill": tiny.config.distill.model_copy(update={"precision": precision}),
        }
    )
    return SweepRunner(replace(tiny.sweep_inputs, config=config, states_folder=folder), device=CPU)


def records(sweep: SweepRunner, task: Unit | EpochRange) -> list[dict[str, Any]]:
    made = [made for made in sweep.do(task) if not isinstance(made, EngineChoice)]
    return [{**record, "seconds": None} for record in made]


def some_units(tiny) -> list[Unit]:
    """Return units with students of every architecture, with a teacher and without, and some trials each."""
    units = [unit for unit in whole_plan(tiny.config) if unit.trials[0].transfer_set == "teacher"]
    return [replace(unit, trials=unit.trials[::3]) for unit in units]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_accuracies_by_epoch_are_those_of_epoch_ranges_evaluated_separately(
    tiny, tmp_path: Path, precision: str
) -> None:
    by_epoch = opened(tiny, tmp_path / "by_epoch", validates=True, precision=precision)
    in_ranges = opened(tiny, tmp_path / "in_ranges", validates=False, precision=precision)
    units = some_units(tiny)
    if precision == "bfloat16":
        # A processor without instructions for it takes a hundred times as long.
        units = [replace(unit, trials=unit.trials[:1]) for unit in units if unit.trials[0].student == 0]
    stacked = {by_epoch.engines.is_stacked(tiny.config.networks[trial.student]) for u in units for trial in u.trials}
    assert stacked == ({True, False} if precision == "float32" else {False})
    for unit in units:
        wholes = records(by_epoch, unit)
        ranges = [
            records(in_ranges, EpochRange(unit=unit, first_epoch=epoch, last_epoch=epoch + 1)) for epoch in range(2)
        ]
        for trial, whole, *epochs in zip(unit.trials, wholes, *ranges, strict=True):
            for (split, scope), name in BY_EPOCH_COLUMNS.items():
                assert whole[name] == [record[f"{split}_{scope}_accuracy_after"] for record in epochs]
            # The trial ends in the same state if nothing is measured between epochs.
            assert whole | dict.fromkeys(BY_EPOCH_COLUMNS.values()) == epochs[-1]
            assert_same_end(tmp_path, trial)


def assert_same_end(folder: Path, trial: Trial) -> None:
    one, other = (load_state(state_path(folder / name, trial, num_epochs=2)) for name in ("by_epoch", "in_ranges"))
    assert one[2:] == other[2:]
    for ours, theirs in zip(one[:2], other[:2], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_the_record_of_an_epoch_range_has_accuracies_of_its_own_epochs(tiny, tmp_path: Path) -> None:
    (unit, *_) = some_units(tiny)
    validating = opened(tiny, tmp_path, validates=True)
    wholes = records(validating, unit)
    for epoch in range(2):
        ranges = records(validating, EpochRange(unit=unit, first_epoch=epoch, last_epoch=epoch + 1))
        for part, whole in zip(ranges, wholes, strict=True):
            check_record(part | {"seconds": 0.0})
            assert [part[name] for name in BY_EPOCH_COLUMNS.values()] == [
                [whole[name][epoch]] for name in BY_EPOCH_COLUMNS.values()
            ]
    for record in records(opened(tiny, tmp_path, validates=False), unit):
        assert {record[name] for name in BY_EPOCH_COLUMNS.values()} == {None}
