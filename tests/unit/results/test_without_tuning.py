from typing import Any

import numpy as np
import pytest

from peerkd.results.selection import candidates
from peerkd.results.table import assemble
from peerkd.results.without_tuning import WithoutTuning, without_tuning
from peerkd.study.defaults import UntunedDefault
from tests.tables import control, diverged, record

DEFAULT = UntunedDefault("student", loss="kl", target="teacher")


def both_ways(validation: tuple[float, float], test: tuple[float, float], **changes: Any) -> list[dict[str, Any]]:
    """Return the trials of two peers under one setting, each with its validation and test accuracy after it."""
    fields = {"loss": "kl", "target": "teacher", **changes}
    return [
        record(
            student=student,
            teacher=1 - student,
            validation_global_accuracy_after=validation[student],
            test_global_accuracy_after=test[student],
            **fields,
        )
        for student in (0, 1)
    ]


UNTUNED = both_ways((0.6, 0.6), (0.51, 0.53))
ROWS = [
    *UNTUNED,
    # Tuning: another setting is best on validation for each of the two pairs.
    *both_ways((0.7, 0.5), (0.60, 0.99), temperature=4.0),
    *both_ways((0.5, 0.65), (0.99, 0.56), alpha=0.9, distillation_weight=0.9),
    # Another loss, another target, and both; their mean accuracies on validation are 0.61, 0.64 and 0.62.
    *both_ways((0.61, 0.61), (0.9, 0.9), loss="dts"),
    *both_ways((0.62, 0.66), (0.55, 0.57), target="mean"),
    *both_ways((0.62, 0.62), (0.9, 0.9), loss="dts", target="mean"),
    # The best of them, tuned, and its tuned rivals, which are better but do not count.
    *both_ways((0.8, 0.6), (0.70, 0.1), target="mean", temperature=4.0),
    *both_ways((0.9, 0.9), (0.1, 0.1), loss="dts", alpha=0.9, distillation_weight=0.9),
    # Other transfer sets and controls do not count.
    *both_ways((0.99, 0.99), (0.1, 0.1), transfer_set="both", target="mean"),
    *(control(student=student, validation_global_accuracy_after=0.99) for student in (0, 1)),
]


def measured(rows: list[dict[str, Any]], default: UntunedDefault = DEFAULT) -> WithoutTuning | None:
    table = assemble(rows)
    trials = candidates(table, metric="global_accuracy", default=default)
    return without_tuning(table, trials, default_transfer_set="student", scope="global")


def test_the_best_other_combination_is_chosen_untuned_on_validation_and_given_on_test() -> None:
    got = measured(ROWS)
    assert got is not None
    assert got.other == ("kl", "mean")
    # Test accuracies before are 0.5.
    assert got.untuned.value == pytest.approx((0.01 + 0.03) / 2)
    assert got.tuned.value == pytest.approx((0.10 + 0.06) / 2)
    assert got.with_other.value == pytest.approx((0.05 + 0.07) / 2)
    assert got.both.value == pytest.approx((0.20 + 0.07) / 2)
    assert got.other_over_tuned.value == pytest.approx(((0.05 - 0.10) + (0.07 - 0.06)) / 2)
    assert got.tuned.num == 2
    assert np.isnan(got.tuned.low)


def test_no_other_combination_is_compared_if_none_was_tried_untuned_for_all_pairs() -> None:
    alone = [row for row in ROWS if (row["loss"], row["target"]) in (("kl", "teacher"), (None, None))]
    assert measured(alone) is None
    assert measured([*alone, *both_ways((0.9, 0.9), (0.9, 0.9), loss="dts", temperature=4.0)]) is None
    one, other = both_ways((0.9, 0.9), (0.9, 0.9), loss="dts")
    assert measured([*alone, one, diverged(other)]) is None
    got = measured([*alone, one, other])
    assert got is not None
    assert got.other == ("dts", "teacher")
    assert measured([diverged(UNTUNED[0]), *alone[1:], one, other]) is None


def test_trials_at_another_learning_rate_than_the_defaults_do_not_count() -> None:
    usual = [{**row, "learning_rate": 0.1} for row in ROWS]
    others = [{**row, "learning_rate": 0.2, "validation_global_accuracy_after": 0.99} for row in ROWS]
    assert measured([*usual, *others], DEFAULT._replace(learning_rate=0.1)) == measured(ROWS)
