"""Trials that people name, by a setting such as ``transfer_set=public,temperature=2,alpha=0.5``.

A setting consists of values of the columns that identify a trial, except the student. Columns may be omitted as long as
only one trial of the student has the remaining values.

Shape suffixes: N = trials of one student.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from peerkd.excerpt import plain
from peerkd.results.schema import LOSS, TARGET, TRIALS_SCHEMA
from peerkd.study.trials import IDENTITY_COLUMNS

SETTING_COLUMNS: Final = tuple(name for name in IDENTITY_COLUMNS if name != "student")

_EXAMPLE: Final = "transfer_set=public,temperature=2,alpha=0.5"
_NONE: Final = "none"
_STUDENT: Final = "student"
_TEACHER: Final = "teacher"
_NUM_NEAREST: Final = 3
_NUM_VALUES: Final = 8
"""The largest number of values of a column that an error message lists."""

_OTHER: Final = 2.0
"""The distance between two different texts, or between a number and a missing value. The distance between two numbers
is 1 if no other tried number lies between them."""

Value: TypeAlias = str | float | int | None


def read_setting(text: str, *, find_teacher: Callable[[str], int]) -> dict[str, Value]:
    """Return the values of a setting, keyed by column. ``none`` stands for a missing value.

    Args:
        text: The setting.
        find_teacher: The function that returns the number of the peer that a text refers to. It raises a
            ``ValueError`` if there is no such peer.

    Raises:
        ValueError: If the text has another form, names no column or repeats one, a value has the wrong type, or there
            is no such teacher.
    """
    values: dict[str, Value] = {}
    for pair in text.split(","):
        name, separator, value = (part.strip() for part in pair.partition("="))
        if not separator or not name or not value:
            raise ValueError(
                f"setting must be name=value pairs separated by commas, such as {_EXAMPLE}, got {plain(text)}."
            )
        if name not in SETTING_COLUMNS:
            near = difflib.get_close_matches(name[:80], SETTING_COLUMNS, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"setting must have names among {', '.join(SETTING_COLUMNS)}{meant}, got {plain(name)}.")
        if name in values:
            raise ValueError(f"setting must give {name} once, got {plain(text)}.")
        is_peer = name == _TEACHER and value.lower() != _NONE
        values[name] = find_teacher(value) if is_peer else _read_value(name, value)
    return values


def find_named(
    trials: pa.Table,
    *,
    student: int,
    setting: Mapping[str, Value],
    defaults: Mapping[str, Value],
    peers: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the row of the one trial of a student that has the values of a setting.

    Args:
        trials: The table of trials.
        student: The student.
        setting: Values by column, as ``read_setting`` returns them.
        defaults: The value of each column that is null because the experiment tries only one value. The loss and the
            target of a fine-tuning are null for another reason, because fine-tuning has neither, so the defaults do not
            apply to them.
        peers: The names of all peers, for error messages. If empty, messages give the numbers of the peers.

    Raises:
        ValueError: If no trial has these values, or if several trials have them. In the first case, the message names
            the nearest trials.
    """
    rows = trials.filter(pc.equal(trials["student"], student))
    columns = {name: _column(rows, name) for name in SETTING_COLUMNS}
    texts = _Texts(peers)
    wanted, learner = texts.setting(setting), texts.value(_STUDENT, student)
    fits_N = np.ones(rows.num_rows, dtype=np.bool_)
    is_control_N = rows["distillation_weight"].to_numpy() == 0
    for name, value in setting.items():
        has_default_N = _equals(columns[name], None) & (name in defaults and value == defaults[name])
        if name in (LOSS, TARGET):
            has_default_N &= ~is_control_N
        fits_N &= _equals(columns[name], value) | has_default_N
    places = np.flatnonzero(fits_N)
    varying = [name for name, column in columns.items() if not _equals(column, None).all()]
    if len(places) == 1:
        (row,) = rows.slice(int(places[0]), 1).to_pylist()
        found: dict[str, Any] = row
        return found
    if len(places):
        raise ValueError(
            f"setting must fit one trial of student {learner}, and {wanted} fits {len(places):,}; add "
            f"{texts.differences(rows.take(places), varying)}."
        )
    distances_N = np.zeros(rows.num_rows)
    for name, value in setting.items():
        distances_N += _distances(columns[name], value)
    nearest = rows.take(np.argsort(distances_N, kind="stable")[:_NUM_NEAREST]).to_pylist()
    raise ValueError(
        f"setting must be one that student {learner} was trained with, got {wanted}; the nearest are "
        f"{' and '.join(texts.setting({name: row[name] for name in varying}) for row in nearest)}."
    )


def _read_value(name: str, text: str) -> Value:
    field = TRIALS_SCHEMA.field(name)
    if text.lower() == _NONE and field.nullable:
        return None
    if pa.types.is_string(field.type):
        return text
    is_integer = pa.types.is_integer(field.type)
    try:
        return int(text) if is_integer else float(text)
    except ValueError as error:
        kind = "an integer" if is_integer else "a number"
        raise ValueError(f"setting: {name} must be {kind}{' or none' * field.nullable}, got {plain(text)}.") from error


def _column(rows: pa.Table, name: str) -> NDArray[Any]:
    """Return a column as objects, with None for null."""
    return np.array([*rows[name].to_pylist(), None], dtype=object)[:-1]


def _equals(column_N: NDArray[Any], value: Value) -> NDArray[np.bool_]:
    return np.array([each == value for each in column_N], dtype=np.bool_)


def _distances(column_N: NDArray[Any], value: Value) -> NDArray[np.float64]:
    """Return the distance between each trial's value in a column and the given value.

    The distance between two numbers is the number of steps between them in the ascending list of all tried numbers.
    Equal texts have the distance 0, different texts the distance ``_OTHER``.
    """
    if not isinstance(value, float):
        return np.where(_equals(column_N, value), 0.0, _OTHER)
    tried = sorted({each for each in column_N if each is not None})
    if not tried:
        return np.zeros(len(column_N))
    steps = {each: float(step) for step, each in enumerate(tried)}
    place = np.interp(value, tried, list(steps.values()))
    return np.array([_OTHER if each is None else abs(steps[each] - place) for each in column_N])


class _Texts(NamedTuple):
    """The texts of settings in error messages."""

    peers: Sequence[str]
    """The names of all peers. If empty, messages give the numbers of the peers."""

    def differences(self, rows: pa.Table, names: list[str]) -> str:
        """Return the columns in which trials differ, each with its values."""
        values = {name: list(dict.fromkeys(rows[name].to_pylist())) for name in names}
        return " or ".join(
            f"{name} ({', '.join(self.value(name, one) for one in each[:_NUM_VALUES])}"
            f"{', ...' * (len(each) > _NUM_VALUES)})"
            for name, each in values.items()
            if len(each) > 1
        )

    def setting(self, values: Mapping[str, Value]) -> str:
        """Return a setting as a user gives it."""
        return ",".join(f"{name}={self.value(name, value)}" for name, value in values.items())

    def value(self, name: str, value: Value) -> str:
        """Return the value of a column as a user gives it."""
        if name in (_STUDENT, _TEACHER) and isinstance(value, int) and 0 <= value < len(self.peers):
            return plain(self.peers[value])
        if isinstance(value, float):
            return repr(value).removesuffix(".0")
        return _NONE if value is None else plain(value)
