"""The results of all trials of a sweep as arrays. With them, the page can show any pair and setting.

Shape suffixes: N = trials (rows of the table), P = peers (row: student, column: teacher), K = classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs import sets_temperature
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.results.selection import Candidates, none_for_nan
from peerkd.study.transfer_sets import TRANSFER_SETS

_COMPARED: Final = ("chosen", "control")
"""The trials of each pair whose accuracies by class and by epoch are kept: its chosen setting and its best control."""


class TrialSetting(NamedTuple):
    """A setting that was tried. A value is None if it has no effect, or if the sweep tried only one."""

    transfer_set: str
    temperature: float | None
    alpha: float | None
    learning_rate: float | None
    loss: str | None
    target: str | None
    is_control: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrialResults:
    """What every trial changed on test. Arrays over trials have the order of the rows of the table of trials."""

    student: IntArray
    teacher: IntArray
    """The number of the teacher, or -1 for training that uses no other peer's data."""

    setting: IntArray
    """The index of each trial's setting in ``settings``."""

    settings: tuple[TrialSetting, ...]

    num_right: IntArray
    """The number of global test samples that became right. 0 if the trial diverged."""

    num_wrong: IntArray
    own_gain: FloatArray
    """The gain on the own test set as a fraction. It is NaN if the trial diverged, as in all arrays of fractions
    here."""

    forgetting: FloatArray
    gain_from_teacher: FloatArray
    """The gain on test minus the gain of fine-tuning on the same data with the same learning rate.

    The accuracy is the one by which settings are chosen. The value is NaN for a control, and for a trial without such a
    fine-tuning.
    """

    gain: FloatArray
    """The gain on test, in the accuracy by which settings are chosen."""

    num_test_samples: int
    """The size of the global test set."""

    roles: Mapping[str, Mapping[str, IntArray]]
    """(num_peers, num_peers) row number of the trial with a role for each pair, by role and transfer set. A role is the
    name of a treatment, such as ``chosen``. The empty name stands for all transfer sets together."""

    class_changes: Mapping[str, FloatArray]
    """(num_peers, num_peers, num_classes) change of the test accuracy on each class, by role. NaN for a pair that has
    no such trial."""

    curves: Mapping[tuple[int, int], Mapping[str, list[float | None]]]
    """The test accuracies after each epoch by pair and role. Empty if they were not measured."""

    @property
    def global_gain(self) -> FloatArray:
        """The gain of global accuracy on test. 0 if the trial diverged."""
        return (self.num_right - self.num_wrong) / self.num_test_samples


def trial_results(
    table: pa.Table,
    trials: Candidates,
    roles: Mapping[str, Mapping[str, IntArray]],
    *,
    scope: str,
    num_test_samples: int,
) -> TrialResults:
    """Return the results of all trials.

    Args:
        table: The table of trials.
        trials: The same table as candidates for a choice.
        roles: The row number of each pair's trial by role and transfer set, as in ``TrialResults.roles``.
        scope: The scope of the choice, ``global`` or ``own``.
        num_test_samples: The size of the global test set.
    """
    is_control = trials.is_control
    numbers: dict[TrialSetting, int] = {}
    # Many rows have the same values, of which one decides for all.
    number_of: dict[tuple[object, ...], int] = {}
    setting_N = np.empty(len(is_control), dtype=np.int64)
    for row, values in enumerate(_values_of_settings(trials)):
        number = number_of.get(values)
        if number is None:
            setting = _setting(trials, row, bool(is_control[row]))
            number = number_of[values] = numbers.setdefault(setting, len(numbers))
        setting_N[row] = number
    whole = {role: by_set[""] for role, by_set in roles.items() if role in _COMPARED}
    return TrialResults(
        student=trials.student,
        teacher=trials.teacher,
        setting=setting_N,
        settings=tuple(numbers),
        num_right=_counts(table, "test_positive_flips", num_test_samples),
        num_wrong=_counts(table, "test_negative_flips", num_test_samples),
        own_gain=_floats(table, "test_own_gain"),
        forgetting=_floats(table, "test_forgetting"),
        gain_from_teacher=_floats(table, f"test_{scope}_gain_from_teacher"),
        gain=_floats(table, f"test_{scope}_gain"),
        num_test_samples=num_test_samples,
        roles=roles,
        class_changes={role: _class_changes(table, rows_PP) for role, rows_PP in whole.items()},
        curves=_curves(table, whole, scope),
    )


def _values_of_settings(trials: Candidates) -> Iterator[tuple[object, ...]]:
    """Yield the values of each row that decide its setting. A missing number is None, which equals itself."""
    numbers = map(none_for_nan, (trials.temperature, trials.alpha, trials.learning_rate))
    others = (trials.transfer_set, trials.loss, trials.target, trials.is_control)
    return zip(*numbers, *(values.tolist() for values in others), strict=True)


def _setting(trials: Candidates, row: int, is_control: bool) -> TrialSetting:
    name, loss = str(trials.transfer_set[row]), trials.loss[row]
    has_temperature = not is_control and not sets_temperature(loss)
    has_alpha = not is_control and TRANSFER_SETS[name].uses_labels
    return TrialSetting(
        transfer_set=name,
        temperature=_known(trials.temperature[row]) if has_temperature else None,
        alpha=_known(trials.alpha[row]) if has_alpha else None,
        learning_rate=_known(trials.learning_rate[row]),
        loss=loss,
        target=trials.target[row],
        is_control=is_control,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _floats(table: pa.Table, column: str) -> FloatArray:
    values: FloatArray = table[column].cast(pa.float64()).to_numpy()
    return values


def _counts(table: pa.Table, column: str, num_test_samples: int) -> IntArray:
    return np.rint(np.nan_to_num(_floats(table, column)) * num_test_samples).astype(np.int64)


def _class_changes(table: pa.Table, rows_PP: IntArray) -> FloatArray:
    before, after = (table[f"test_class_accuracy_{moment}"] for moment in ("before", "after"))
    num_classes = len(before[0])
    changes_PPK = np.full((*rows_PP.shape, num_classes), np.nan)
    is_known_PP = rows_PP != NO_ROW
    rows = pa.array(rows_PP[is_known_PP])
    after_nK, before_nK = (np.array(each.take(rows).to_pylist(), dtype=float) for each in (after, before))
    if len(rows):
        changes_PPK[is_known_PP] = after_nK - before_nK
    return changes_PPK


def _curves(
    table: pa.Table, roles: Mapping[str, IntArray], scope: str
) -> dict[tuple[int, int], dict[str, list[float | None]]]:
    column = table[BY_EPOCH_COLUMNS["test", scope]]
    curves: dict[tuple[int, int], dict[str, list[float | None]]] = {}
    if column.null_count == len(column):
        return curves
    for role, rows_PP in roles.items():
        pairs = np.argwhere(rows_PP != NO_ROW).tolist()
        accuracies = column.take(pa.array(rows_PP[rows_PP != NO_ROW])).to_pylist()
        for (student, teacher), values in zip(pairs, accuracies, strict=True):
            if values is not None:
                curves.setdefault((student, teacher), {})[role] = values
    return curves
