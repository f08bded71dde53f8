"""The advice for every ordered pair, and its quality on the test set.

Shape suffixes: P = peers (row: student, column: teacher).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.advice import COLUMNS, Prediction, StudentAdvice, advise
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.results.pairs import at
from peerkd.results.schema import TARGET
from peerkd.results.selection import NO_ROW
from peerkd.study import ties
from peerkd.study.controls import are_controls
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets
from peerkd.study.student_choice import StudentDecision

DECISIONS: Final[tuple[StudentDecision, ...]] = ("distil", "fine_tune", "leave")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predicted gains and the bounds of their intervals.

    Each is a matrix (num_peers, num_peers), with NaN for a pair without a prediction.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray

    def covers(self, measured_PP: FloatArray) -> BoolArray:
        """Return for each pair whether its interval contains its measured gain; False if one of them is NaN."""
        covers_PP: BoolArray = ties.is_at_least(measured_PP, self.low) & ties.is_at_least(self.high, measured_PP)
        return covers_PP


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairAdvice:
    """The advice for every pair: (num_peers, num_peers), student by teacher.

    ``distillation`` and ``control`` contain row numbers of the table of trials, or ``NO_ROW`` for a pair without such a
    trial.
    """

    decision: NDArray[np.str_]
    """The advised ``StudentDecision``; empty on the diagonal and for a pair with a peer that diverged."""

    distillation: IntArray
    """The row of the pair's best distillation on validation or, after a tuned study, of the chosen distillation."""

    control: IntArray
    """The row of the pair's best training without a teacher."""

    gain: Predictions
    """The gain of the distillation over the unchanged student."""

    control_gain: Predictions
    """The gain of the training without a teacher over the unchanged student."""

    advantage: Predictions
    """The gain of the distillation minus the gain of the training without a teacher."""

    def count(self, decision: StudentDecision) -> int:
        """Return the number of pairs with a decision."""
        return int((self.decision == decision).sum())

    def pairs_to_distil(self) -> list[tuple[int, int]]:
        """Return student and teacher of each pair that should distil, the largest predicted gain first."""
        pairs = [(int(student), int(teacher)) for student, teacher in np.argwhere(self.decision == "distil")]
        return sorted(pairs, key=lambda pair: -float(self.gain.value[pair]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AdviceOnTest:
    """How well the advice to distil turns out on the test set. Gains are fractions.

    The better control of a pair is the unchanged student, whose gain is 0, or the training without a teacher if its
    gain on the test set is above 0.
    """

    over_best_control: Estimate
    """The mean, over the pairs that should distil, of the distillation's gain minus the gain of the better control."""

    num_worse: int
    """The number of pairs that should distil although their distillation has a lower gain than the better control."""


def advise_pairs(
    table: pa.Table,
    pairs: Iterable[tuple[int, int, IntArray]],
    objective: Objective,
    *,
    num_peers: int,
    sets_P: Sequence[EvaluationSets],
    ranks: IntArray,
    distillation_PP: IntArray | None = None,
) -> PairAdvice:
    """Return the advice for pairs.

    Args:
        table: The table of trials.
        pairs: Student and teacher of each pair, with the rows of its distillations and controls.
        objective: The objective of the choice.
        num_peers: The number of peers, including those that diverged.
        sets_P: The sizes of the evaluation sets of each peer.
        ranks: The rank of each row in ties. The lowest rank wins a tie.
        distillation_PP: The row of the distillation that a tuner has chosen for each pair, which must not have
            diverged. ``NO_ROW`` for a pair without a chosen distillation. None means the best distillation of each
            pair.
    """
    shape = num_peers, num_peers
    decision_PP = np.full(shape, "", dtype="U9")
    rows_PP = {name: np.full(shape, NO_ROW, dtype=np.int64) for name in ("distillation", "control")}
    predicted_PP = {name: np.full((3, *shape), np.nan) for name in ("gain", "control_gain", "advantage")}
    measured = _in_memory(table)
    weights_and_targets = (table[name].to_pylist() for name in ("distillation_weight", TARGET))
    is_control = np.array(are_controls(*weights_and_targets), dtype=np.bool_)
    for student, teacher, rows in pairs:
        given = None if distillation_PP is None else int(distillation_PP[student, teacher])
        if given == NO_ROW:
            rows = rows[is_control[rows]]
        advice = advise(
            {name: values[rows] for name, values in measured.items()},
            objective,
            sets_P[student],
            ranks_N=ranks[rows],
            distillation=None if given in (None, NO_ROW) else int(np.searchsorted(rows, given)),
        )
        decision_PP[student, teacher] = advice.decision
        for name, of_pair in rows_PP.items():
            of_pair[student, teacher] = _row(advice, name, rows)
        for name, values_3PP in predicted_PP.items():
            values_3PP[:, student, teacher] = _bounds(getattr(advice, name))
    return PairAdvice(
        decision=decision_PP,
        distillation=rows_PP["distillation"],
        control=rows_PP["control"],
        gain=Predictions(*predicted_PP["gain"]),
        control_gain=Predictions(*predicted_PP["control_gain"]),
        advantage=Predictions(*predicted_PP["advantage"]),
    )


def _in_memory(table: pa.Table) -> dict[str, NDArray[Any]]:
    """Return the columns from which advice is computed, as arrays whose rows can be taken quickly."""
    return {name: _values(table[name]) for name in COLUMNS}


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return numbers and lists of equally many numbers as floats, NaN for null, and other values as objects."""
    if pa.types.is_floating(column.type):
        numbers: NDArray[Any] = column.to_numpy()
        return numbers
    if pa.types.is_list(column.type):
        column = column.combine_chunks()
        is_known = column.is_valid().to_numpy(zero_copy_only=False)
        lists = column.flatten().to_numpy(zero_copy_only=False).reshape(int(is_known.sum()), -1)
        rows = np.full((len(column), lists.shape[1]), np.nan)
        rows[is_known] = lists
        return rows
    values = np.empty(len(column), dtype=np.object_)
    values[:] = column.to_pylist()
    return values


def on_test(advice: PairAdvice, table: pa.Table, objective: Objective) -> AdviceOnTest:
    """Return how well the advice to distil turns out on the test set."""
    distilled_PP = gains_on_test(table, advice.distillation, objective)
    control_PP = gains_on_test(table, advice.control, objective)
    # Without any control that was trained, the unchanged student, whose gain is 0, is the only one.
    over_PP = np.where(advice.decision == "distil", distilled_PP - np.fmax(control_PP, 0), np.nan)
    return AdviceOnTest(over_best_control=mean_over_pairs(over_PP), num_worse=int(ties.is_above(0, over_PP).sum()))


def gains_on_test(table: pa.Table, rows_PP: IntArray, objective: Objective) -> FloatArray:
    """Return the gain on the test set of one trial of each pair: (num_peers, num_peers).

    Args:
        table: The table of trials.
        rows_PP: The row of each pair's trial. The gain is NaN where the row is ``NO_ROW``.
        objective: The objective, which decides whether the gain is of global accuracy, own accuracy or a mean of both.
    """
    return objective.gains({scope: at(table, f"test_{scope}_gain", rows_PP) for scope in objective.scopes})


def _row(advice: StudentAdvice, name: str, rows: IntArray) -> int:
    place = getattr(advice, name)
    return NO_ROW if place is None else int(rows[place])


def _bounds(prediction: Prediction | None) -> tuple[float, float, float]:
    return (np.nan, np.nan, np.nan) if prediction is None else (prediction.value, *prediction.interval)
