"""The teacher's part of the gain in the table of one sweep.

For each pair and each combination of transfer set, loss and target, the setting with the highest validation accuracy is
chosen. It competes with a baseline without a teacher, which is also chosen on validation: the unchanged student, or the
best control on the student's own data or on the labelled samples of the same transfer set. A control fine-tunes the
student, or imitates its old self. The teacher's part is the test accuracy of the chosen setting minus that of the
baseline.

At T = 1, some losses are the same function. A sweep trains such a trial only once, under one of these losses, and its
result counts for all of them.

Shape suffix: N = trials of the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.study.controls import are_controls
from peerkd.study.grid import computed_loss
from peerkd.study.transfer_sets import TRANSFER_SETS

COLUMNS: Final = (
    *("student", "teacher", "transfer_set", "loss", "target", "temperature", "distillation_weight", "is_finite"),
    *("validation_global_gain", "test_global_gain"),
)
"""The columns of the table of trials that are read."""

_OWN_SOURCES: Final = frozenset({"student"})


class Combination(NamedTuple):
    """A transfer set, a loss and a target, whose gains are compared with those of other combinations."""

    transfer_set: str
    loss: str
    target: str


class Gains(NamedTuple):
    """Means over the pairs of one sweep, as fractions of accuracy on the global test set."""

    tuned: float
    """The gain of the setting that is chosen for each pair."""

    untuned: float
    """The gain at the temperature and the weight of the untuned default."""

    baseline: float
    """The gain of the baseline: the best training without a teacher, or 0 if the unchanged student is better."""

    @property
    def tuned_part(self) -> float:
        """The teacher's part with the chosen settings."""
        return self.tuned - self.baseline

    @property
    def untuned_part(self) -> float:
        """The teacher's part without tuning."""
        return self.untuned - self.baseline


class _Trials(NamedTuple):
    """The columns of a table as arrays."""

    student_N: IntArray
    teacher_N: IntArray
    """The number of the teacher. -1 if no second peer takes part."""
    combination_N: np.ndarray
    at_temperature_1_N: BoolArray
    is_control_N: BoolArray
    is_default_N: BoolArray
    validation_N: FloatArray
    """The validation gain; -infinity for a trial that diverged."""
    test_N: FloatArray

    @classmethod
    def of(cls, table: pa.Table, *, default_weight: float) -> Self:
        columns: Mapping[str, Sequence[Any]] = {name: table[name].to_pylist() for name in COLUMNS}
        weights, targets = columns["distillation_weight"], columns["target"]
        weight_N = np.array(weights, dtype=np.float64)
        is_finite_N = np.array(columns["is_finite"], dtype=np.bool_)
        temperature_N = np.array(columns["temperature"], dtype=np.float64)
        combinations = [
            Combination(*(value or "" for value in values))
            for values in zip(columns["transfer_set"], columns["loss"], columns["target"], strict=True)
        ]
        combination_N = np.empty(len(combinations), dtype=object)
        combination_N[:] = combinations
        uses_labels_N = np.array([TRANSFER_SETS[each.transfer_set].uses_labels for each in combinations])
        return cls(
            student_N=np.array(columns["student"], dtype=np.int64),
            teacher_N=np.array([-1 if peer is None else peer for peer in columns["teacher"]], dtype=np.int64),
            combination_N=combination_N,
            at_temperature_1_N=temperature_N == 1,
            is_control_N=np.array(are_controls(weights, targets), dtype=np.bool_),
            is_default_N=(temperature_N == 1) & ((weight_N == default_weight) | ~uses_labels_N),
            validation_N=np.where(is_finite_N, _numbers(columns["validation_global_gain"]), -np.inf),
            test_N=_numbers(columns["test_global_gain"]),
        )

    def of_combination(self, combination: Combination) -> BoolArray:
        """Return whether each trial is a distillation of a combination, as an array of shape (N,).

        A trial at T = 1 also belongs to the combination if its loss equals that of the combination at T = 1.
        """
        computed_at_1 = _computed_at_temperature_1(combination)
        is_same_N = [each == combination for each in self.combination_N]
        is_same_at_1_N = [_computed_at_temperature_1(each) == computed_at_1 for each in self.combination_N]
        return ~self.is_control_N & (np.array(is_same_N) | self.at_temperature_1_N & np.array(is_same_at_1_N))


def _computed_at_temperature_1(combination: Combination) -> Combination:
    return combination._replace(loss=computed_loss(combination.loss or None, 1.0) or "")


def measure(table: pa.Table, *, default_weight: float = 0.5) -> dict[Combination, Gains]:
    """Return the gains of each combination of a sweep, in the order of the table.

    Args:
        table: The table of trials of a sweep with several losses and targets.
        default_weight: The weight of the divergence in the untuned default.
    """
    trials = _Trials.of(table, default_weight=default_weight)
    combinations = dict.fromkeys(trials.combination_N[~trials.is_control_N].tolist())
    return {combination: _means(trials, combination) for combination in combinations}


def _means(trials: _Trials, combination: Combination) -> Gains:
    is_distillation_N = trials.of_combination(combination)
    pairs = np.unique(np.stack([trials.student_N, trials.teacher_N], axis=1)[is_distillation_N], axis=0)
    gains = []
    for student, teacher in pairs.tolist():
        rows = np.flatnonzero(is_distillation_N & (trials.student_N == student) & (trials.teacher_N == teacher))
        default = rows[trials.is_default_N[rows]]
        baseline = _best(trials, np.fromiter(_baselines(trials, combination, student, teacher), dtype=np.int64))
        gains.append([_best(trials, rows), _best(trials, default), baseline])
    return Gains(*np.mean(gains, axis=0).tolist())


def _baselines(trials: _Trials, combination: Combination, student: int, teacher: int) -> Iterator[int]:
    """Yield the row numbers of the controls with which a pair's trials of a combination are compared.

    These controls use the same labelled samples as the combination, or the student's own labelled samples alone.
    """
    labelled = TRANSFER_SETS[combination.transfer_set].labelled_sources
    for row in np.flatnonzero(trials.is_control_N & (trials.student_N == student)).tolist():
        sources = TRANSFER_SETS[trials.combination_N[row].transfer_set].labelled_sources
        is_of_pair = trials.teacher_N[row] in (-1, teacher)
        if is_of_pair and sources in (labelled, _OWN_SOURCES):
            yield row


def _best(trials: _Trials, rows: IntArray) -> float:
    """Return the test gain of the row with the highest validation gain; 0 if none is above the unchanged student."""
    if not rows.size:
        return 0.0
    best = rows[trials.validation_N[rows].argmax()]
    return float(trials.test_N[best]) if trials.validation_N[best] > 0 else 0.0


def _numbers(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
