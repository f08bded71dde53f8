import pytest

from peerkd.study.plan import plan
from peerkd.study.trials import IDENTITY_COLUMNS, Setting, Trial, record_identity, without
from peerkd.training.inputs import state_name
from tests.unit.study.grids import grid

TRIAL = Trial(3, 7, "both", Setting(4.0, 0.1, 0.9))
WITH_RATE = TRIAL._replace(setting=TRIAL.setting._replace(learning_rate=0.02))
CONTROL = Trial(3, None, "student", Setting(None, 0.0, 0.0))


WITH_LOSS = TRIAL._replace(setting=TRIAL.setting._replace(loss="dkd", target="class_counts+prior_adjusted"))


@pytest.mark.parametrize("trial", [TRIAL, WITH_RATE, WITH_LOSS, CONTROL])
def test_a_trial_and_its_record_have_the_same_identity(trial: Trial) -> None:
    record = trial.to_record() | {"seconds": 0.1}
    assert record_identity(record) == trial.identity
    assert Trial.from_record(record) == trial


def test_the_rate_is_in_the_identity_and_none_if_only_one_is_tried() -> None:
    assert TRIAL.identity == (3, 7, "both", 4.0, 0.1, None, None, None)
    assert WITH_RATE.identity == (3, 7, "both", 4.0, 0.1, 0.02, None, None)


def test_a_record_from_before_losses_and_targets_were_dimensions_is_read_as_one_with_neither() -> None:
    record = {name: value for name, value in WITH_RATE.to_record().items() if name not in ("loss", "target")}
    assert record_identity(record) == WITH_RATE.identity
    assert Trial.from_record(record) == WITH_RATE


def test_each_column_of_the_identity_distinguishes_trials() -> None:
    others = {"student": 1, "teacher": 2, "transfer_set": "student", "temperature": 1.0, "alpha": 0.2}
    for name in IDENTITY_COLUMNS:
        changed = WITH_RATE.to_record() | {name: others.get(name, 0.5)}
        assert record_identity(changed) != WITH_RATE.identity


@pytest.mark.parametrize("num_done", [0, 1, 100, 5590])
def test_finished_trials_are_not_planned_again(num_done: int) -> None:
    units = plan(grid(), range(10))
    everything = [trial for unit in units for trial in unit.trials]
    done = {trial.identity for trial in everything[:num_done]}
    left = [trial for unit in without(units, done) for trial in unit.trials]
    assert {trial.identity for trial in left} == {trial.identity for trial in everything} - done
    assert len(left) == len(everything) - num_done


def test_the_state_of_a_trial_on_disk_is_named_by_its_identity() -> None:
    assert state_name(TRIAL, num_epochs=2) == "0003-0007-both-4.0-0.1-2.safetensors"
    assert state_name(WITH_RATE, num_epochs=2) == "0003-0007-both-4.0-0.1-0.02-2.safetensors"
    named = TRIAL._replace(setting=TRIAL.setting._replace(loss="dkd", target="mean+prior_adjusted"))
    assert state_name(named, num_epochs=2) == "0003-0007-both-4.0-0.1-dkd-mean+prior_adjusted-2.safetensors"
