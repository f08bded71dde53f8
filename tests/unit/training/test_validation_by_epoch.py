"""Accuracies after every epoch: those of trials that were cut into legs there, and nothing else is different."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from peerkd.results.schema import BY_EPOCH_COLUMNS, SPLITS
from peerkd.results.table import check_record
from peerkd.training.evaluate import Judge
from peerkd.training.inputs import Leg, WayTaken
from peerkd.training.plan import Trial, Unit, plan
from peerkd.training.sweep import Sweep
from peerkd.training.trial_state import load_state, state_path

CPU = torch.device("cpu")


def opened(tiny, folder: Path, *, validates: bool, precision: str = "float32") -> Sweep:
    config = tiny.config.model_copy(
        update={
            "sweep": tiny.config.sweep.model_copy(update={"validate_every_epoch": validates}),
            "distill": tiny.config.distill.model_copy(update={"precision": precision}),
        }
    )
    return Sweep(replace(tiny.sweep_inputs, config=config, states_folder=folder), device=CPU)


def records(sweep: Sweep, task: Unit | Leg) -> list[dict[str, Any]]:
    made = [made for made in sweep.do(task) if not isinstance(made, WayTaken)]
    return [{**record, "seconds": None} for record in made]


def some_units(tiny) -> list[Unit]:
    """Students of every architecture, with a teacher and without, some trials of each unit."""
    units = [unit for unit in plan(tiny.config) if unit.trials[0].transfer_set == "teacher"]
    return [Unit(owners=unit.owners, teacher=unit.teacher, trials=unit.trials[::3]) for unit in units]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_accuracies_by_epoch_are_those_of_legs_judged_apart(tiny, tmp_path: Path, precision: str) -> None:
    by_epoch = opened(tiny, tmp_path / "by_epoch", validates=True, precision=precision)
    in_legs = opened(tiny, tmp_path / "in_legs", validates=False, precision=precision)
    units = some_units(tiny)
    stacked = {by_epoch._is_stacked(tiny.config.architectures[trial.student]) for u in units for trial in u.trials}
    assert stacked == ({True, False} if precision == "float32" else {False})
    for unit in units:
        wholes = records(by_epoch, unit)
        legs = [records(in_legs, Leg(unit=unit, first_epoch=epoch, last_epoch=epoch + 1)) for epoch in range(2)]
        for trial, whole, *epochs in zip(unit.trials, wholes, *legs, strict=True):
            for scope, name in BY_EPOCH_COLUMNS.items():
                assert whole.pop(name) == [leg[f"validation_{scope}_accuracy_after"] for leg in epochs]
            # And the trial ends where it does without being looked at.
            assert whole == epochs[-1]
            assert_same_end(tmp_path, trial)


def assert_same_end(folder: Path, trial: Trial) -> None:
    one, other = (load_state(state_path(folder / name, trial, num_epochs=2)) for name in ("by_epoch", "in_legs"))
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_record_has_accuracies_by_epoch_only_where_all_its_epochs_were_looked_at(tiny, tmp_path: Path) -> None:
    (unit, *_) = some_units(tiny)
    validating = opened(tiny, tmp_path, validates=True)
    for leg, num_measured in ((range(1), 1), (range(1, 2), None)):
        for record in records(validating, Leg(unit=unit, first_epoch=leg.start, last_epoch=leg.stop)):
            check_record(record | {"seconds": 0.0})
            lists = [record.get(name) for name in BY_EPOCH_COLUMNS.values()]
            assert [values and len(values) for values in lists] == [num_measured] * 2
    for record in records(opened(tiny, tmp_path, validates=False), unit):
        assert not record.keys() & set(BY_EPOCH_COLUMNS.values())


def test_only_the_last_epoch_is_judged_on_test(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (unit, *_) = some_units(tiny)
    sweep = opened(tiny, tmp_path, validates=True)
    records(sweep, unit)  # students before any training are judged once
    asked = []
    predict_many = Judge.predict_many

    def listening(self: Judge, *arguments: Any, splits: Any = SPLITS, **named: Any) -> Any:
        asked.append(tuple(splits))
        return predict_many(self, *arguments, splits=splits, **named)

    monkeypatch.setattr(Judge, "predict_many", listening)
    records(sweep, unit)
    assert len(asked) >= 2
    assert set(asked[::2]) == {("validation",)}
    assert set(asked[1::2]) == {SPLITS}
