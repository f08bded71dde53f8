"""Results of trials whose epochs are spread over several records."""

import pytest

from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.stages.work.tuning.trial_results import result_at_best_epoch, results_at_end, with_earlier_epochs
from peerkd.study.objective import Objective
from peerkd.tuning.validation import ValidationResult
from tests.tables import record

ACCURACIES = (0.52, 0.60, 0.58, 0.61, 0.40)
"""The accuracy after each epoch on every split. It was 0.5 before."""


def epochs_record(first: int, last: int) -> dict:
    lists = {name: list(ACCURACIES[first:last]) for name in BY_EPOCH_COLUMNS.values()}
    return record(epochs=last, **lists)


def test_a_range_of_epochs_counts_with_its_best_epoch() -> None:
    for (first, last), (gain, num_epochs) in {(0, 3): (0.10, 2), (3, 5): (0.11, 4), (0, 5): (0.11, 4)}.items():
        result = result_at_best_epoch(epochs_record(first, last), Objective())
        assert (result.gain, result.num_epochs) == (pytest.approx(gain), num_epochs)


def test_the_limit_applies_to_the_chosen_epoch_and_not_to_the_last_one() -> None:
    own = {"validation_own_accuracy_by_epoch": [0.5, 0.47, 0.46, 0.3, 0.2]}
    result = result_at_best_epoch(epochs_record(0, 5) | own, Objective(max_own_drop=0.035))
    assert (result.gain, result.is_allowed, result.num_epochs) == (pytest.approx(0.10), True, 2)
    broken = result_at_best_epoch(
        epochs_record(3, 5) | {"validation_own_accuracy_by_epoch": [0.3, 0.2]}, Objective(max_own_drop=0.035)
    )
    assert (broken.gain, broken.is_allowed, broken.num_epochs) == (pytest.approx(-0.2), False, 4)


def test_the_result_at_the_end_follows_from_the_columns_of_the_record() -> None:
    end = record(epochs=3, validation_global_accuracy_after=0.53, validation_own_accuracy_after=0.44)
    assert results_at_end([end], Objective()) == [ValidationResult(pytest.approx(0.03), True, 3)]
    assert results_at_end([end], Objective(max_own_drop=0.05)) == [ValidationResult(pytest.approx(-0.06), False, 3)]
    assert results_at_end([end], Objective(own_weight=0.5)) == [ValidationResult(pytest.approx(-0.015), True, 3)]


@pytest.mark.parametrize("begins_at", [0, 2])
def test_records_of_consecutive_epochs_are_joined_to_that_of_the_whole_trial(begins_at: int) -> None:
    """A record whose trial was restarted, after its state was lost, has all epochs from the first on."""
    assert with_earlier_epochs(epochs_record(0, 2), epochs_record(begins_at, 5)) == epochs_record(0, 5)
    assert with_earlier_epochs(
        with_earlier_epochs(epochs_record(0, 1), epochs_record(1, 3)), epochs_record(3, 5)
    ) == epochs_record(0, 5)
