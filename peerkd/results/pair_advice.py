"""The advice for every ordered pair, and its quality on the test set.

Shape suffixes: P = peers (row: student, column: teacher), Q = pairs, R = entries (a pair and one of its rows), N = rows
of the table, G = pairs that are computed together, C = trials of such a pair.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results import validation_noise
from peerkd.results.advice import COLUMNS, MAX_COMPARED, NUM_DRAWS, advise_groups, controls_among, judged_gains
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.results.pair_rows import NO_ROW, PairRows
from peerkd.results.pairs import at
from peerkd.results.schema import CORRECT_BITS
from peerkd.study import ties
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets
from peerkd.study.student_choice import StudentDecision

DECISIONS: Final[tuple[StudentDecision, ...]] = ("distil", "fine_tune", "leave")

_GROUP_BYTES: Final = 2**25
"""The maximum size of the arrays for a group of pairs, whose advice is computed together."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predicted gains and the bounds of their intervals.

    Each field has the shape (num_peers, num_peers), with NaN for a pair that has no prediction.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray

    def covers(self, measured_PP: FloatArray) -> BoolArray:
        """Return for each pair whether its interval contains its measured gain.

        The result is False if the interval or the gain is NaN.
        """
        covers_PP: BoolArray = ties.is_at_least(measured_PP, self.low) & ties.is_at_least(self.high, measured_PP)
        return covers_PP


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairAdvice:
    """The advice for every pair.

    Each field has the shape (num_peers, num_peers), with a row for each student and a column for each teacher.
    """

    decision: NDArray[np.str_]
    """The advised ``StudentDecision``. Empty on the diagonal and for a pair with a peer that diverged."""

    distillation: IntArray
    """The row number, in the table of trials, of the pair's best distillation on validation or, after a tuned study, of
    the chosen distillation. ``NO_ROW`` if there is none."""

    control: IntArray
    """The row number, in the table of trials, of the best training without a teacher that the student of the pair can
    have. ``NO_ROW`` if there is none."""

    gain: Predictions
    """The predicted gain of the trial in ``distillation`` over the unchanged student."""

    control_gain: Predictions
    """The predicted gain of the trial in ``control`` over the unchanged student."""

    advantage: Predictions
    """The predicted gain of the trial in ``distillation`` minus that of the trial in ``control``."""

    def count(self, decision: StudentDecision) -> int:
        """Return the number of pairs with the given decision."""
        return int((self.decision == decision).sum())

    def student_decisions(self) -> list[tuple[int, str]]:
        """Return the student and the decision of each pair that has one."""
        return [(int(pair[0]), str(self.decision[tuple(pair)])) for pair in np.argwhere(self.decision != "")]

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
    """The gain of the distillation minus the gain of the better control, as a mean over the pairs that should
    distil."""

    num_worse: int
    """The number of pairs that should distil although their distillation has a lower gain than the better control."""


class _Measured(NamedTuple):
    """The columns of the table of trials from which advice is computed, as arrays over all rows."""

    columns: Mapping[str, NDArray[Any]]
    gain: FloatArray
    is_control: BoolArray
    has_bits: BoolArray

    def of(self, rows_GC: IntArray) -> dict[str, NDArray[Any] | None]:
        """Return the values of each column in the rows of a group of pairs, keyed by column."""
        values: dict[str, NDArray[Any] | None] = {
            name: self.columns[name][rows_GC] for name in validation_noise.COLUMNS
        }
        if not self.has_bits[rows_GC].all():
            values[CORRECT_BITS["validation"]] = None
        return values

    def bytes_of_pair(self, num_trials: int) -> int:
        """Return the number of bytes of memory that the advice for a pair with ``num_trials`` trials takes."""
        num_samples: int = 8 * self.columns[CORRECT_BITS["validation"]].shape[1]
        return num_trials * (4 * num_samples + 3 * 8 * NUM_DRAWS)


def advise_pairs(
    table: pa.Table,
    pairs: PairRows,
    objective: Objective,
    *,
    num_peers: int,
    sets_P: Sequence[EvaluationSets],
    ranks: IntArray,
    distillation_PP: IntArray | None = None,
) -> PairAdvice:
    """Return the advice for pairs. It equals the advice of ``advise`` for each pair.

    Args:
        table: The table of trials.
        pairs: The rows of the distillations and controls of each pair.
        objective: The objective of the choice.
        num_peers: The number of peers, including those that diverged.
        sets_P: The sizes of the evaluation sets of each peer.
        ranks: The rank of each row in ties. The lowest rank wins a tie.
        distillation_PP: The row number of the distillation that a tuner has chosen for each pair, which must not have
            diverged. ``NO_ROW`` for a pair that has no chosen distillation. None means the best distillation of each
            pair.
    """
    measured = _in_memory(table, objective)
    gains_N, is_control_N = measured.gain, measured.is_control
    finite = pairs.where(np.isfinite(gains_N))
    control_Q = finite.where(is_control_N).best(gains_N, ranks)
    if distillation_PP is None:
        distilled_Q = finite.where(~is_control_N).best(gains_N, ranks)
    else:
        distilled_Q = distillation_PP[pairs.student, pairs.teacher]
        finite = finite.only(is_control_N[finite.row] | (distilled_Q[finite.pair] != NO_ROW))
    compared = finite.only(_are_compared(finite, gains_N, is_control_N, distilled_Q, control_Q))

    shape = num_peers, num_peers
    decision_PP = np.full(shape, "", dtype="U9")
    predicted_PP = {name: np.full((3, *shape), np.nan) for name in ("gain", "control_gain", "advantage")}
    for pairs_G, rows_GC in _groups(compared, measured, sets_P):
        advice = advise_groups(
            measured.of(rows_GC),
            objective,
            sets_P[pairs.student[pairs_G[0]]],
            gains_GC=gains_N[rows_GC],
            is_control_C=is_control_N[rows_GC[0]],
            distilled_G=_places(rows_GC, distilled_Q[pairs_G]),
            control_G=_places(rows_GC, control_Q[pairs_G]),
        )
        place_G = pairs.student[pairs_G], pairs.teacher[pairs_G]
        decision_PP[place_G] = advice.decision
        for name, values_3PP in predicted_PP.items():
            predictions = getattr(advice, name)
            values_3PP[:, *place_G] = np.array([predictions.value, *predictions.interval])
    return PairAdvice(
        decision=decision_PP,
        distillation=pairs.as_matrix(distilled_Q, num_peers=num_peers, missing=NO_ROW),
        control=pairs.as_matrix(control_Q, num_peers=num_peers, missing=NO_ROW),
        gain=Predictions(*predicted_PP["gain"]),
        control_gain=Predictions(*predicted_PP["control_gain"]),
        advantage=Predictions(*predicted_PP["advantage"]),
    )


def _are_compared(
    pairs: PairRows, gains_N: FloatArray, is_control_N: BoolArray, distilled_Q: IntArray, control_Q: IntArray
) -> BoolArray:
    """Return whether the gain of each entry is drawn in the bootstrap, as an array of shape (R,).

    The rule is that of ``advise``: the ``MAX_COMPARED`` best distillations, the ``MAX_COMPARED`` best controls, and the
    best or chosen trial of each kind.
    """
    kind_R = 2 * pairs.pair + is_control_N[pairs.row]
    order_R = np.lexsort((-gains_N[pairs.row], kind_R))
    num_of_kind = np.bincount(kind_R, minlength=2 * pairs.num_pairs)
    place_R = np.empty(len(kind_R), dtype=np.int64)
    place_R[order_R] = np.arange(len(kind_R)) - (np.cumsum(num_of_kind) - num_of_kind)[kind_R[order_R]]
    is_best_R = (pairs.row == distilled_Q[pairs.pair]) | (pairs.row == control_Q[pairs.pair])
    are_compared_R: BoolArray = (place_R < MAX_COMPARED) | is_best_R
    return are_compared_R


def _groups(
    pairs: PairRows, measured: _Measured, sets_P: Sequence[EvaluationSets]
) -> Iterator[tuple[IntArray, IntArray]]:
    """Group the pairs whose advice is computed together.

    Yield the indices of the pairs of each group, of shape (G,), and their row numbers, of shape (G, C).

    The pairs of a group have equal evaluation sets and equally many trials, and their controls are at the same
    positions. The bits of a trial record on which samples the student is right. They are used only if all trials of a
    group have bits, so pairs in which a trial lacks bits are in groups of their own.
    """
    numbers: dict[EvaluationSets, int] = {}
    set_Q = np.array([numbers.setdefault(sets, len(numbers)) for sets in sets_P])[pairs.student]
    num_Q = pairs.num_rows
    stop_Q = np.cumsum(num_Q)
    for num in np.unique(num_Q).tolist():
        pairs_G = np.flatnonzero(num_Q == num)
        rows_GC = pairs.row[(stop_Q[pairs_G] - num)[:, None] + np.arange(num)]
        has_bits_G = measured.has_bits[rows_GC].all(axis=1)
        kinds = np.column_stack([set_Q[pairs_G], has_bits_G, measured.is_control[rows_GC]])
        kind_G = np.unique(kinds, axis=0, return_inverse=True)[1].ravel()
        size = max(1, _GROUP_BYTES // max(measured.bytes_of_pair(num), 1))
        for kind in np.unique(kind_G):
            members = np.flatnonzero(kind_G == kind)
            for start in range(0, len(members), size):
                part = members[start : start + size]
                yield pairs_G[part], rows_GC[part]


def _places(rows_GC: IntArray, row_G: IntArray) -> IntArray | None:
    """Return the position in ``rows_GC`` of one row of each pair, or None if the pairs have no such row."""
    return (rows_GC == row_G[:, None]).argmax(axis=1) if (row_G != NO_ROW).all() else None


def on_test(advice: PairAdvice, table: pa.Table, objective: Objective) -> AdviceOnTest:
    """Return how well the advice to distil turns out on the test set."""
    distilled_PP = gains_on_test(table, advice.distillation, objective)
    control_PP = gains_on_test(table, advice.control, objective)
    # Without any control that was trained, the unchanged student, whose gain is 0, is the only one.
    over_PP = np.where(advice.decision == "distil", distilled_PP - np.fmax(control_PP, 0), np.nan)
    return AdviceOnTest(over_best_control=mean_over_pairs(over_PP), num_worse=int(ties.is_above(0, over_PP).sum()))


def gains_on_test(table: pa.Table, rows_PP: IntArray, objective: Objective) -> FloatArray:
    """Return the gain of one trial of each pair on the test set, as an array of shape (num_peers, num_peers).

    Args:
        table: The table of trials.
        rows_PP: The row number of the trial of each pair. The gain is NaN where it is ``NO_ROW``.
        objective: The objective, which decides whether the gain is of global accuracy, own accuracy or a mean of both.
    """
    return objective.gains({scope: at(table, f"test_{scope}_gain", rows_PP) for scope in objective.scopes})


def _in_memory(table: pa.Table, objective: Objective) -> _Measured:
    """Return the columns from which advice is computed."""
    bits_name = CORRECT_BITS["validation"]
    columns = {name: _values(table[name]) for name in COLUMNS if name != bits_name}
    return _Measured(
        columns={**columns, bits_name: _bits(table[bits_name])},
        gain=judged_gains(columns, objective),
        is_control=controls_among(columns),
        has_bits=table[bits_name].is_valid().to_numpy(),
    )


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as an array. Numbers, and lists of equally many numbers, become floats, with NaN for null.

    Other values become objects.
    """
    if pa.types.is_floating(column.type):
        numbers: NDArray[Any] = column.to_numpy()
        return numbers
    if pa.types.is_list(column.type):
        column = column.combine_chunks()
        is_known = column.is_valid().to_numpy(zero_copy_only=False)
        num_known, numbers = int(is_known.sum()), column.flatten().to_numpy(zero_copy_only=False)
        rows = np.full((len(column), len(numbers) // max(1, num_known)), np.nan)
        rows[is_known] = numbers.reshape(num_known, rows.shape[1])
        return rows
    values = np.empty(len(column), dtype=np.object_)
    values[:] = column.to_pylist()
    return values


def _bits(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Return a column of equally many bytes as an array with one row for each value. A null becomes a row of zeros."""
    num_bytes = pc.max(pc.binary_length(column)).as_py() or 0
    rows = np.zeros((len(column), num_bytes), dtype=np.uint8)
    start = 0
    for chunk in column.chunks:
        known = chunk.drop_null()
        if len(known):
            is_known = chunk.is_valid().to_numpy(zero_copy_only=False)
            _, offsets, content = known.buffers()
            first = int(np.frombuffer(offsets, dtype=np.int32)[known.offset])
            bits = np.frombuffer(content, dtype=np.uint8)[first : first + len(known) * num_bytes]
            rows[start : start + len(chunk)][is_known] = bits.reshape(len(known), num_bytes)
        start += len(chunk)
    return rows
