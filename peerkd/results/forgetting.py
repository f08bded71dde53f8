"""Forgetting and learning of students, by transfer set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from peerkd.arrays import FloatArray, IntArray
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.pairs import at
from peerkd.results.selection import ChosenRows

Role: TypeAlias = Literal["chosen", "default", "control"]

ROLES: Final[tuple[Role, ...]] = ("chosen", "default", "control")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How a kind of trial changes the predictions of students on the global test set: means over pairs, as fractions.

    All trials of a kind have the same transfer set and the same role: the chosen setting, the untuned default or the
    control.
    """

    transfer_set: str
    role: Role
    forgetting: Estimate
    learning: Estimate
    positive_flips: Estimate
    negative_flips: Estimate


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Forgetting:
    """Forgetting by transfer set, for settings chosen within each set."""

    changes: tuple[Change, ...]
    """What was forgotten and learned with each transfer set, separately for the chosen setting, the untuned default and
    the control."""

    transfer_sets: tuple[str, ...]
    class_accuracy_lost: FloatArray
    """The accuracy that students lost on each class under the chosen setting, of shape
    (num_transfer_sets, num_classes).

    It is a mean over pairs, in which a pair whose accuracy on the class rose counts as 0. The value is NaN for a class
    without test samples.
    """


def forgetting(table: pa.Table, choices: Mapping[str, ChosenRows]) -> Forgetting:
    """Return what students forget and learn on the test set, by transfer set.

    Args:
        table: The table of trials.
        choices: The chosen rows within each transfer set, by the name of the transfer set.
    """
    changes = [
        Change(
            transfer_set=transfer_set,
            role=role,
            forgetting=mean_over_pairs(at(table, "test_forgetting", rows_PP)),
            learning=mean_over_pairs(at(table, "test_learning", rows_PP)),
            positive_flips=mean_over_pairs(at(table, "test_positive_flips", rows_PP)),
            negative_flips=mean_over_pairs(at(table, "test_negative_flips", rows_PP)),
        )
        for transfer_set, choice in choices.items()
        for role, rows_PP in zip(ROLES, (choice.chosen, choice.default, choice.control), strict=True)
        if (rows_PP != NO_ROW).any()
    ]
    lost = [_class_accuracy_lost(table, choice.chosen) for choice in choices.values()]
    return Forgetting(changes=tuple(changes), transfer_sets=tuple(choices), class_accuracy_lost=np.array(lost))


def _class_accuracy_lost(table: pa.Table, rows_PP: IntArray) -> FloatArray:
    rows = rows_PP[rows_PP != NO_ROW]
    before, after = (
        np.array(table[f"test_class_accuracy_{moment}"].take(rows).to_pylist(), dtype=np.float64)
        for moment in ("before", "after")
    )
    if not len(rows):
        num_classes = len(table["test_class_accuracy_before"][0])
        return np.full(num_classes, np.nan)
    lost = np.maximum(before - after, 0)
    # A class has test samples for all pairs or for none.
    mean: FloatArray = lost.mean(axis=0)
    return mean
