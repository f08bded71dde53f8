"""Checks of the values in a table of a user. Each message names the file, the column and the row.

Rows are counted from 0, in the order of the file. Shape suffix: R = checked rows.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import IntArray
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.targets import TARGET_LABELS
from peerkd.results import arrow
from peerkd.results.schema import IS_FINITE, LEARNING_RATE, LOSS, TARGET
from peerkd.study.transfer_sets import TRANSFER_SETS

_IsRight: TypeAlias = Callable[[pa.Array], pa.Array]
"""A function that returns for each value whether it keeps a rule, and null for null."""


class _Rule(NamedTuple):
    """A rule for the values of one column."""

    in_words: str
    is_kind: Callable[[pa.DataType], bool]
    is_right: _IsRight


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _within(low: float, high: float) -> _IsRight:
    return lambda values: pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))


def _one_of(names: Collection[str]) -> _Rule:
    known = pa.array(list(names))
    return _Rule(f"one of {', '.join(names)}", _is_text, lambda values: pc.is_in(values, value_set=known))


def _is_positive(values: pa.Array) -> pa.Array:
    return pc.and_(pc.is_finite(values), pc.greater(values, 0))


_PEER: Final = _Rule("the number of a peer, from 0", pa.types.is_integer, lambda values: pc.greater_equal(values, 0))
_SEED: Final = _Rule("a whole number from 0", pa.types.is_integer, lambda values: pc.greater_equal(values, 0))
_COUNT: Final = _Rule("a whole number from 1", pa.types.is_integer, lambda values: pc.greater_equal(values, 1))
_POSITIVE: Final = _Rule("a finite number above 0", _is_number, _is_positive)
_FRACTION: Final = _Rule("a fraction from 0 to 1", _is_number, _within(0, 1))
_GAIN: Final = _Rule("a difference of fractions, from -1 to 1", _is_number, _within(-1, 1))
_FINITE: Final = _Rule("a finite number", _is_number, pc.is_finite)
_BOOLEAN: Final = _Rule("true or false", pa.types.is_boolean, pc.is_valid)

_RULES: Final[Mapping[str, _Rule]] = {
    "student": _PEER,
    "teacher": _PEER,
    "transfer_set": _one_of(TRANSFER_SETS),
    "temperature": _POSITIVE,
    "alpha": _FRACTION,
    "distillation_weight": _FRACTION,
    LEARNING_RATE: _POSITIVE,
    LOSS: _one_of(PAIR_LOSSES),
    TARGET: _one_of(TARGET_LABELS),
    "seed": _SEED,
    IS_FINITE: _BOOLEAN,
    "num_transfer_samples": _COUNT,
    "epochs": _COUNT,
}
"""The rules by column. The rules for accuracies and gains follow from the names of the columns."""


def distillation_rows(table: pa.Table, path: Path) -> IntArray:
    """Return the rows whose distillation weight is above 0, ascending.

    Raises:
        ValueError: If a weight is missing or outside 0 to 1.
    """
    check_column(table, "distillation_weight", np.arange(table.num_rows), path)
    return np.flatnonzero(table["distillation_weight"].to_numpy() > 0).astype(np.int64)


def check_distillations(table: pa.Table, rows_R: IntArray, path: Path) -> None:
    """Refuse a table with values that break the rules of their columns, or with trials that diverged.

    Args:
        table: The rows of distillations alone.
        rows_R: Numbers of these rows in the file.
        path: Path of the file.

    Raises:
        ValueError: For the first value that is wrong.
    """
    if IS_FINITE in table.column_names:
        check_column(table, IS_FINITE, rows_R, path)
        diverged = np.flatnonzero(pc.invert(table[IS_FINITE]).to_numpy())
        if diverged.size:
            raise ValueError(
                f"Every trial of {path} must have ended in finite numbers to be replayed, got {diverged.size:,} of "
                f"{len(rows_R):,} that diverged, the first in row {rows_R[diverged[0]]}."
            )
    for name in table.column_names:
        if name != IS_FINITE:
            check_column(table, name, rows_R, path)
    same = np.flatnonzero(table["student"].to_numpy() == table["teacher"].to_numpy())
    if same.size:
        raise ValueError(f"student and teacher of {path} must differ, got the same in row {rows_R[same[0]]}.")


def check_features(table: pa.Table, names: Sequence[str], path: Path) -> None:
    """Refuse features of pairs that are not finite numbers.

    Raises:
        ValueError: For the first value that is wrong.
    """
    rows_R = np.arange(table.num_rows)
    for name in names:
        _check(table, name, _FINITE, rows_R, path)


def check_column(table: pa.Table, name: str, rows_R: IntArray, path: Path) -> None:
    """Refuse a column with a value that is missing or breaks the column's rule.

    Raises:
        ValueError: For the first such value.
    """
    _check(table, name, _rule(name), rows_R, path)


def check_accuracies(table: pa.Table, path: Path) -> None:
    """Refuse impossible accuracies and gains in every column and row. Missing values are allowed.

    A table with one wrong value is damaged, whether or not that value is used.

    Raises:
        ValueError: For the first value that is wrong.
    """
    for name in table.column_names:
        rule, kind = _rule(name), table.schema.field(name).type
        if rule.is_kind(kind.value_type if pa.types.is_list(kind) else kind):
            wrong = arrow.find_wrong(table[name], rule.is_right)
            _refuse(wrong, f"{name} of {path} must be {rule.in_words} in every row", np.arange(table.num_rows))


def check_once(keys: Sequence[Hashable], rows_R: IntArray, path: Path, *, noun: str) -> None:
    """Refuse keys that are not unique.

    Raises:
        ValueError: For the first key that occurs again.
    """
    seen: dict[Hashable, Any] = {}
    for key, row in zip(keys, rows_R.tolist(), strict=True):
        if key in seen:
            raise ValueError(f"{path} must have each {noun} once, got one in row {seen[key]} and again in row {row}.")
        seen[key] = row


def _rule(name: str) -> _Rule:
    return _RULES.get(name) or (_GAIN if name.endswith("_gain") else _FRACTION)


def _check(table: pa.Table, name: str, rule: _Rule, rows_R: IntArray, path: Path) -> None:
    column, sentence = table[name], f"{name} of {path} must be {rule.in_words} in every row"
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    if not rule.is_kind(kind):
        raise ValueError(f"{sentence}, got values of type {kind}.")
    missing = pc.index(pc.is_valid(column), False).as_py()
    wrong = (missing, None) if missing >= 0 else arrow.find_wrong(column, rule.is_right, allows_null=False)
    _refuse(wrong, sentence, rows_R)


def _refuse(wrong: tuple[int, Any] | None, sentence: str, rows_R: IntArray) -> None:
    if wrong:
        row, value = wrong
        raise ValueError(f"{sentence}, got {'null' if value is None else value} in row {rows_R[row]}.")
