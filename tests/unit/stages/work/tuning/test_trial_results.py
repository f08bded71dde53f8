"""What records show, of trials in parts that were done in order or begun anew."""

import pytest

from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.stages.work.tuning.trial_results import result_at_best_epoch, results_at_end, with_earlier_epochs
from peerkd.study.objective import Objective
from peerkd.tuning.validation import ValidationResult
from tests.tables import record

COURSE = (0.52, 0.60, 0.58, 0.61, 0.40)
"""Accuracy after each epoch, of everything; it was 0.5 before."""


def leg(first: int, last: int) -> dict:
    lists = {name: list(COURSE[first:last]) for name in BY_EPOCH_COLUMNS.values()}
    return record(epochs=last, **lists)


def test_a_leg_is_worth_what_it_was_after_its_best_epoch() -> None:
    for (first, last), (gain, num_epochs) in {(0, 3): (0.10, 2), (3, 5): (0.11, 4), (0, 5): (0.11, 4)}.items():
        result = result_at_best_epoch(leg(first, last), Objective())
        assert (result.gain, result.num_epochs) == (pytest.approx(gain), num_epochs)


def test_the_limit_is_for_the_epoch_and_not_for_the_end() -> None:
    own = {"validation_own_accuracy_by_epoch": [0.5, 0.47, 0.46, 0.3, 0.2]}
    result = result_at_best_epoch(leg(0, 5) | own, Objective(max_own_drop=0.035))
    assert (result.gain, result.is_allowed, result.num_epochs) == (pytest.approx(0.10), True, 2)
    broken = result_at_best_epoch(
        leg(3, 5) | {"validation_own_accuracy_by_epoch": [0.3, 0.2]}, Objective(max_own_drop=0.035)
    )
    assert (broken.gain, broken.is_allowed, broken.num_epochs) == (pytest.approx(-0.2), False, 4)


def test_at_its_end_a_trial_is_worth_what_its_columns_say() -> None:
    end = record(epochs=3, validation_global_accuracy_after=0.53, validation_own_accuracy_after=0.44)
    assert results_at_end([end], Objective()) == [ValidationResult(pytest.approx(0.03), True, 3)]
    assert results_at_end([end], Objective(max_own_drop=0.05)) == [ValidationResult(pytest.approx(-0.06), False, 3)]
    assert results_at_end([end], Objective(own_weight=0.5)) == [ValidationResult(pytest.approx(-0.015), True, 3)]


@pytest.mark.parametrize("begins_at", [0, 2])
def test_legs_are_joined_to_what_the_whole_trial_was(begins_at: int) -> None:
    """One whose state was lost tells of all epochs from the first on."""
    assert with_earlier_epochs(leg(0, 2), leg(begins_at, 5)) == leg(0, 5)
    assert with_earlier_epochs(with_earlier_epochs(leg(0, 1), leg(1, 3)), leg(3, 5)) == leg(0, 5)
