"""The choice of a setting for each pair, from validation accuracy alone.

Choices are made from ``Candidates``, which have no test columns. So the type system prevents a choice on the test set.
A tie goes to the setting that changes the fewest hyper-parameters of the untuned default.

A trial that diverged is never chosen. A setting that diverged for one pair is never chosen as the single setting for
all pairs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.pair_rows import NO_ROW, PairRows
from peerkd.results.schema import IS_FINITE, LEARNING_RATE, LOSS, TARGET
from peerkd.study import ties
from peerkd.study.controls import are_controls
from peerkd.study.defaults import UntunedDefault
from peerkd.study.splits import Metric

NO_TEACHER: Final = -1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """The data that a choice may use: one entry for each row of the table of trials, in the order of the table."""

    student: IntArray
    teacher: IntArray
    """The number of the teacher. ``NO_TEACHER`` for fine-tuning that uses no other peer's data."""

    transfer_set: NDArray[np.str_]
    temperature: FloatArray
    """The temperature; NaN for fine-tuning."""

    alpha: FloatArray
    distillation_weight: FloatArray
    """The weight of the divergence; 0 for fine-tuning."""

    learning_rate: FloatArray
    """The learning rate of the first step; NaN if the experiment tries only one."""

    loss: NDArray[np.object_]
    target: NDArray[np.object_]
    """The label of the target; None for fine-tuning, or if the experiment tries only one target. The same rule holds
    for ``loss``."""

    is_finite: BoolArray
    """False for a trial that diverged."""

    accuracy_before: FloatArray
    accuracy_after: FloatArray
    """The validation accuracy of the student after the trial; NaN if it diverged."""

    is_pair_PP: BoolArray
    """Whether each ordered pair takes part. The shape is (num_peers, num_peers), with a row for each student and a
    column for each teacher. False for a pair with a peer that diverged in pre-training, and for two peers that are not
    partners."""

    default: UntunedDefault
    """The untuned default, with the default transfer set of the experiment. The functions that choose can be given
    another default transfer set."""

    @property
    def is_control(self) -> BoolArray:
        """Whether each trial is a control: fine-tuning, or a trial whose target is made without the teacher."""
        return np.array(are_controls(self.distillation_weight.tolist(), self.target.tolist()), dtype=np.bool_)

    @property
    def num_peers(self) -> int:
        """The number of peers, including those that diverged."""
        return len(self.is_pair_PP)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChosenRows:
    """Row numbers of the table of trials, and comparisons on validation, for each ordered pair.

    Each field has the shape (num_peers, num_peers), with a row for each student and a column for each teacher. A row
    number is ``NO_ROW`` on the diagonal, for each pair with a peer that diverged, and for each pair of which all trials
    that could be chosen have diverged.
    """

    chosen: IntArray
    """The row number of the best distillation on validation."""

    default: IntArray
    """The row number of the distillation with the untuned default."""

    control: IntArray
    """The row number of the best control on validation, on any transfer set. ``NO_ROW`` also if no control exists, for
    instance because no transfer set has labels."""

    above_student: BoolArray
    """Whether the chosen setting is better on validation than the unchanged student."""

    above_control: BoolArray
    """Whether the chosen setting is better on validation than the control. True if no control exists."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SingleSetting:
    """One setting for all pairs, and the row number of the trial of each ordered pair under this setting.

    The row number is ``NO_ROW`` on the diagonal, for each pair with a peer that diverged, and for each pair whose
    distillations all diverged.
    """

    transfer_set: str
    temperature: float
    alpha: float
    learning_rate: float | None
    loss: str | None
    target: str | None
    """The label of the target. The learning rate, the loss and the target are None if the experiment tries only one."""

    rows: IntArray


def candidates(
    table: pa.Table,
    *,
    metric: Metric,
    default: UntunedDefault | None = None,
    is_pair_PP: BoolArray | None = None,
) -> Candidates:
    """Return the data for a choice by ``metric``: identities and validation accuracies.

    Args:
        table: The table of trials.
        metric: Name of the validation accuracy.
        default: The untuned default. None means that the experiment tries only one learning rate, one loss and one
            target.
        is_pair_PP: Whether each student and teacher are a pair of the experiment whose peers did not diverge. If None,
            every two peers are a pair, up to the highest number of a student.
    """
    student = _numpy(table, "student").astype(np.int64)
    if is_pair_PP is None:
        is_pair_PP = ~np.eye(student.max(initial=-1) + 1, dtype=np.bool_)
    return Candidates(
        student=student,
        teacher=table["teacher"].fill_null(NO_TEACHER).to_numpy().astype(np.int64),
        transfer_set=np.array(table["transfer_set"].to_pylist(), dtype=np.str_),
        temperature=_numpy(table, "temperature"),
        alpha=_numpy(table, "alpha"),
        distillation_weight=_numpy(table, "distillation_weight"),
        learning_rate=_numpy(table, LEARNING_RATE).astype(np.float64),
        loss=_objects(table, LOSS),
        target=_objects(table, TARGET),
        is_finite=table[IS_FINITE].fill_null(True).to_numpy(),
        accuracy_before=_numpy(table, f"validation_{metric}_before"),
        accuracy_after=_numpy(table, f"validation_{metric}_after"),
        is_pair_PP=is_pair_PP,
        default=default or UntunedDefault(None),
    )


def is_default_recipe(trials: Candidates) -> BoolArray:
    """Return whether the setting of each row, apart from its transfer set, is the untuned default."""
    is_default: BoolArray = ranks_of(trials, None) == 0
    return is_default


def choose(
    trials: Candidates, *, default_transfer_set: str, transfer_sets: Collection[str] | None = None
) -> ChosenRows:
    """Return the row numbers of each ordered pair's best distillation on validation, untuned default and best control.

    Args:
        trials: The trials to choose from.
        default_transfer_set: The transfer set of the untuned default.
        transfer_sets: The transfer sets to choose from. If None, all of them.

    Raises:
        ValueError: If a pair has no trial of the default, finite or diverged.
    """
    allowed = np.isin(trials.transfer_set, list(set(trials.transfer_set) if transfer_sets is None else transfer_sets))
    is_control = trials.is_control
    ranks = ranks_of(trials, default_transfer_set)
    pairs = rows_of_pairs(trials, allowed)
    defaults = pairs.where((ranks == 0) & (trials.teacher != NO_TEACHER)).first
    if (defaults == NO_ROW).any():
        place = int((defaults == NO_ROW).argmax())
        raise ValueError(
            f"Each pair must have a trial of the default on {default_transfer_set}, "
            f"got none for student {pairs.student[place]} and teacher {pairs.teacher[place]}."
        )
    default = pairs.as_matrix(
        np.where(trials.is_finite[defaults], defaults, NO_ROW), num_peers=trials.num_peers, missing=NO_ROW
    )
    chosen = _best_of_pairs(trials, pairs.where(~is_control), ranks)
    control = _best_of_pairs(trials, pairs.where(is_control), ranks)

    before, after = trials.accuracy_before, trials.accuracy_after
    is_pair = chosen != NO_ROW
    return ChosenRows(
        chosen=chosen,
        default=default,
        control=control,
        above_student=is_pair & ties.is_above(after[chosen], before[chosen]),
        above_control=is_pair & ((control == NO_ROW) | ties.is_above(after[chosen], after[control])),
    )


def best_of_pairs(trials: Candidates, allowed: BoolArray, default_transfer_set: str) -> IntArray:
    """Return the row number of the best allowed distillation of each ordered pair on validation.

    The result has the shape (num_peers, num_peers). It is ``NO_ROW`` for a pair whose allowed distillations all
    diverged, and for a pair that has no allowed distillation.

    Args:
        trials: The trials to choose from.
        allowed: Whether each row may be chosen.
        default_transfer_set: The transfer set of the untuned default, by which ties are broken.
    """
    pairs = rows_of_pairs(trials, allowed & ~trials.is_control)
    return _best_of_pairs(trials, pairs, ranks_of(trials, default_transfer_set))


def none_for_nan(values: FloatArray) -> list[float | None]:
    """Return numbers as a list with None in place of NaN, so that equal entries are equal."""
    objects = values.astype(np.object_)
    objects[np.isnan(values)] = None
    listed: list[float | None] = objects.tolist()
    return listed


def choose_single(trials: Candidates, *, default_transfer_set: str) -> SingleSetting | None:
    """Return the setting with the best mean validation accuracy over all ordered pairs.

    Ties are broken as in the choice for a pair.

    A setting is excluded if it diverged for a pair that has a finite distillation under another setting. None is
    returned if every setting is excluded.

    Raises:
        ValueError: If no setting was tried for every pair.
    """
    num_peers = trials.num_peers
    ranks = ranks_of(trials, default_transfer_set)
    settings: dict[tuple[str, float, float, float | None, str | None, str | None], list[int]] = {}
    is_distillation = ~trials.is_control
    rows_of_distillations = np.flatnonzero(is_distillation)
    names = ("transfer_set", "temperature", "alpha", "loss", "target")
    name, temperature, alpha, loss, target = (getattr(trials, each)[rows_of_distillations].tolist() for each in names)
    rates = none_for_nan(trials.learning_rate[rows_of_distillations])
    keys = zip(name, temperature, alpha, rates, loss, target, strict=True)
    for row, key in zip(rows_of_distillations.tolist(), keys, strict=True):
        settings.setdefault(key, []).append(row)
    tried = [rows for rows in settings.values() if len(rows) == trials.is_pair_PP.sum()]
    if not tried:
        raise ValueError("At least one setting must have been tried for every pair, got none.")
    is_usable = is_distillation & trials.is_finite
    is_usable_PP = np.zeros(trials.is_pair_PP.shape, dtype=np.bool_)
    is_usable_PP[trials.student[is_usable], trials.teacher[is_usable]] = True
    finite = {key: [row for row in rows if trials.is_finite[row]] for key, rows in settings.items()}
    complete = {key: rows for key, rows in finite.items() if rows and len(rows) == is_usable_PP.sum()}
    if not complete:
        return None
    means = np.array([trials.accuracy_after[rows].mean() for rows in complete.values()])
    position = ties.best(means, ranks[[rows[0] for rows in complete.values()]])
    (transfer_set, temperature, alpha, learning_rate, loss, target), rows = [*complete.items()][int(position)]
    rows_PP = np.full((num_peers, num_peers), NO_ROW, dtype=np.int64)
    rows_PP[trials.student[rows], trials.teacher[rows]] = rows
    return SingleSetting(
        transfer_set=transfer_set,
        temperature=temperature,
        alpha=alpha,
        learning_rate=learning_rate,
        loss=loss,
        target=target,
        rows=rows_PP,
    )


def rows_of_pairs(trials: Candidates, allowed: BoolArray | None = None) -> PairRows:
    """Return the rows of the distillations and controls of each pair that takes part.

    The controls of a pair are the controls of the student on data of the teacher, and the controls of the student that
    involve no other peer, which belong to every pair of the student. A pair may have no rows.

    Args:
        trials: The trials.
        allowed: Whether each row may be among the rows of a pair. None: every row may.
    """
    student_Q, teacher_Q = np.nonzero(trials.is_pair_PP)
    is_left = np.ones(len(trials.student), dtype=np.bool_) if allowed is None else allowed
    of_pairs = _rows_of(trials, np.flatnonzero(is_left & (trials.teacher != NO_TEACHER)), student_Q, teacher_Q)
    is_alone = is_left & (trials.teacher == NO_TEACHER) & trials.is_control
    of_students = _rows_of(trials, np.flatnonzero(is_alone), student_Q, np.full_like(student_Q, NO_TEACHER))
    pair_R, row_R = (np.concatenate(parts) for parts in zip(of_pairs, of_students, strict=True))
    order_R = np.lexsort((row_R, pair_R))
    return PairRows(student=student_Q, teacher=teacher_Q, pair=pair_R[order_R], row=row_R[order_R])


def _rows_of(trials: Candidates, rows: IntArray, student_Q: IntArray, teacher_Q: IntArray) -> tuple[IntArray, IntArray]:
    """Find the rows with the student and the teacher of each pair.

    Return the index of the pair and the row number of each match.
    """
    size = max(trials.num_peers, int(trials.teacher.max(initial=NO_TEACHER)) + 1) + 1
    codes, codes_Q = trials.student[rows] * size + trials.teacher[rows], student_Q * size + teacher_Q
    order = np.argsort(codes, kind="stable")
    first_Q, stop_Q = (np.searchsorted(codes[order], codes_Q, side=side) for side in ("left", "right"))
    num_Q = stop_Q - first_Q
    pair_R = np.repeat(np.arange(len(codes_Q)), num_Q)
    place_R = np.arange(len(pair_R)) - np.repeat(np.cumsum(num_Q) - num_Q - first_Q, num_Q)
    return pair_R, rows[order[place_R]]


def ranks_of(trials: Candidates, default_transfer_set: str | None) -> IntArray:
    """Return the rank of each row in ties. The lowest rank wins a tie.

    Args:
        trials: The trials, with the untuned default.
        default_transfer_set: The transfer set of the untuned default.
    """
    columns = {name: getattr(trials, name) for name in ties.CHANGE_COLUMNS}
    return ties.ranks(columns, default=trials.default._replace(transfer_set=default_transfer_set))


def _best_of_pairs(trials: Candidates, pairs: PairRows, ranks: IntArray) -> IntArray:
    best_Q = pairs.where(trials.is_finite).best(trials.accuracy_after, ranks)
    return pairs.as_matrix(best_Q, num_peers=trials.num_peers, missing=NO_ROW)


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    values: NDArray[Any] = table[name].to_numpy()
    return values


def _objects(table: pa.Table, name: str) -> NDArray[np.object_]:
    return np.array(table[name].to_pylist(), dtype=np.object_)
