"""Read a full sweep from its table of trials, as arrays by pair and setting, or refuse it if it is not full.

Shape suffixes: Q = ordered pairs, S = settings, E = epochs of a whole trial, F = features, R = rows of the table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.tuning.sample_counts import BATCH_SIZE, sample_counts
from benchmarks.tuning.table_checks import (
    check_accuracies,
    check_distillations,
    check_features,
    check_once,
    distillation_rows,
)
from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs import kl
from peerkd.losses.targets import teacher
from peerkd.results.schema import IS_FINITE, LEARNING_RATE, LOSS, TARGET
from peerkd.study.defaults import UntunedDefault
from peerkd.study.objective import Objective
from peerkd.study.ties import CHANGE_COLUMNS, ranks
from peerkd.study.trials import setting_order
from peerkd.tuning.space import SettingOnSet, Space

TRIALS_NAME: Final = "trials.parquet"
FEATURES_NAME: Final = "features.parquet"

_Pair: TypeAlias = tuple[int, int]

_PAIR_COLUMNS: Final = ("student", "teacher")
_SETTING_COLUMNS: Final = ("transfer_set", "temperature", "alpha", "distillation_weight")
_SEED: Final = "seed"
_OPTIONAL_COLUMNS: Final = (LEARNING_RATE, LOSS, TARGET)
"""Columns of a setting that a table may lack, or that have no value if the experiment tries only one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sweep:
    """Gains of every pair under every setting, as fractions, for each scope that the objective uses."""

    seed: int | None
    """Seed of the experiment; None if the table lacks it."""

    space: Space
    validation_gains_QSE: Mapping[str, FloatArray]
    """Gains after each epoch, or only after the last one (E = 1)."""

    test_gains_QSE: Mapping[str, FloatArray]
    """Gains after each epoch, or only of whole trials (E = 1)."""


def table_path(path: Path) -> Path:
    """Return the path of the table, given its path or that of its folder."""
    return path / TRIALS_NAME if path.is_dir() else path


def read_sweep(
    path: Path,
    *,
    objective: Objective,
    default_transfer_set: str | None,
    default_learning_rate: float | None = None,
    by_epoch: bool = True,
    tests_by_epoch: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Sweep:
    """Read the distillations of a full sweep, without its controls. Columns that are not needed may be missing.

    Args:
        path: Path of the table of trials. ``features.parquet`` may be in the same folder.
        objective: Objective, whose scopes are read.
        default_transfer_set: Transfer set of the untuned default. None for the first one in the order of the table.
        default_learning_rate: Learning rate of the untuned default, where the table has several.
        by_epoch: Whether to read validation gains after each epoch, or only of whole trials.
        tests_by_epoch: Whether to read test gains after each epoch, or only of whole trials.
        batch_size: Batch size of the distillations, on which the cost of some transfer sets depends.

    Raises:
        ValueError: If the file is not a table of trials or lacks accuracies by epoch that are wanted, a value is
            impossible, a pair lacks a setting, or the default's learning rate is not one of several.
    """
    scopes = objective.scopes
    of_validation = {scope: _validation(scope, by_epoch=by_epoch) for scope in scopes}
    of_test = {scope: _test(scope, by_epoch=tests_by_epoch) for scope in scopes}
    table = _distillations(path, (*of_validation.values(), *of_test.values()))
    pair_of_R = list(zip(*(table[name].to_pylist() for name in _PAIR_COLUMNS), strict=True))
    columns = [name for name in (*_SETTING_COLUMNS, *_OPTIONAL_COLUMNS) if name in table.column_names]
    setting_of_R = [
        SettingOnSet(**dict(zip(columns, row, strict=True)))
        for row in zip(*(table[name].to_pylist() for name in columns), strict=True)
    ]
    pairs = _all_pairs(pair_of_R)
    settings = sorted(set(setting_of_R), key=lambda setting: setting_order(*setting))
    rows_QS = _rows(pair_of_R, setting_of_R, pairs=pairs, settings=settings, path=path)
    num_epochs = _num_epochs(table, path)
    feature_names, features_QF = _features(path.parent / FEATURES_NAME, pairs)
    students_Q, teachers_Q = np.array(pairs, dtype=np.int64).T
    num_samples_QS, num_taught_QS = sample_counts(
        settings,
        table["num_transfer_samples"].to_numpy().astype(np.int64)[rows_QS],
        feature_names=feature_names,
        features_QF=features_QF,
        batch_size=batch_size,
        path=path,
    )
    return Sweep(
        seed=int(table[_SEED][0].as_py()) if _SEED in table.column_names else None,
        space=Space(
            students_Q=students_Q,
            teachers_Q=teachers_Q,
            settings=tuple(settings),
            default_setting=_default(settings, default_transfer_set, default_learning_rate, path),
            num_samples_QS=num_samples_QS,
            num_taught_samples_QS=num_taught_QS,
            num_epochs=num_epochs,
            feature_names=feature_names,
            features_QF=features_QF,
            has_global_gains=objective.is_global,
        ),
        validation_gains_QSE={
            scope: _gains(table, column, num_epochs, path)[rows_QS] for scope, column in of_validation.items()
        },
        test_gains_QSE={scope: _gains(table, column, num_epochs, path)[rows_QS] for scope, column in of_test.items()},
    )


class _Gain(NamedTuple):
    """The columns of a gain: one column with the gain, or two columns with the accuracies before and after."""

    name: str
    before: str | None
    is_by_epoch: bool


def _validation(scope: str, *, by_epoch: bool) -> _Gain:
    name = f"validation_{scope}_accuracy_{'by_epoch' if by_epoch else 'after'}"
    return _Gain(name, before=f"validation_{scope}_accuracy_before", is_by_epoch=by_epoch)


def _test(scope: str, *, by_epoch: bool) -> _Gain:
    if not by_epoch:
        return _Gain(f"test_{scope}_gain", before=None, is_by_epoch=False)
    return _Gain(f"test_{scope}_accuracy_by_epoch", before=f"test_{scope}_accuracy_before", is_by_epoch=True)


def _distillations(path: Path, gains: Sequence[_Gain]) -> pa.Table:
    """Read and check the columns of the distillations, the trials with a distillation weight above 0."""
    there = _column_names(path)
    plain = [*_PAIR_COLUMNS, *_SETTING_COLUMNS, "num_transfer_samples", "epochs"]
    plain += [gain.before for gain in gains if gain.before]
    plain += [gain.name for gain in gains if not gain.is_by_epoch]
    by_epoch = [gain.name for gain in gains if gain.is_by_epoch]
    missing = [name for name in plain if name not in there]
    if missing:
        raise ValueError(f"{path} must be a table of trials, got one that lacks {', '.join(missing)}.")
    lacking = [name for name in by_epoch if name not in there]
    if lacking:
        raise ValueError(_without_epochs(path, lacking[0]))
    optional = [name for name in _OPTIONAL_COLUMNS if name in there]
    others = [name for name in (IS_FINITE, _SEED) if name in there]
    with _reading(path, "a table of trials"):
        table = pq.read_table(path, columns=[*plain, *by_epoch, *optional, *others])
        accuracies = pq.read_table(path, columns=[name for name in there if _is_accuracy(name)])
    check_accuracies(accuracies, path)
    rows_R = distillation_rows(table, path)
    table = table.take(rows_R).combine_chunks()
    table = table.drop_columns([name for name in optional if table[name].null_count == table.num_rows])
    if not table.num_rows:
        raise ValueError(f"{path} must be a table with distillations, got none.")
    lacking = [name for name in by_epoch if table[name].null_count == table.num_rows]
    if lacking:
        raise ValueError(_without_epochs(path, lacking[0]))
    check_distillations(table, rows_R, path)
    columns = [name for name in (*_PAIR_COLUMNS, *_SETTING_COLUMNS, *optional) if name in table.column_names]
    keys = list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    check_once(keys, rows_R, path, noun="trial")
    return table


def _is_accuracy(name: str) -> bool:
    return "_accuracy_" in name or name.endswith("_gain")


def _without_epochs(path: Path, name: str) -> str:
    split = name.partition("_")[0]
    return (
        f"{path} must be of a sweep with sweep.validate_every_epoch=true, got one without {split} accuracies after "
        "each epoch."
    )


def _column_names(path: Path) -> frozenset[str]:
    # Reading a pipe or a device could wait forever.
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} must be a table of trials, got something that is no regular file.")
    with _reading(path, "a table of trials"):
        return frozenset(pq.read_schema(path).names)


@contextmanager
def _reading(path: Path, noun: str) -> Iterator[None]:
    """Raise a ``ValueError`` for a file that is missing or damaged."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"{path} must be {noun}, got no such file.") from error
    # A damaged name of a column is a UnicodeDecodeError, and damaged data pages are an OSError without a number.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be {noun} as Parquet, got a file that cannot be read so.") from error


def _all_pairs(pair_of_R: Iterable[_Pair]) -> list[_Pair]:
    """Return all ordered pairs of the peers in the table."""
    peers = sorted({peer for pair in set(pair_of_R) for peer in pair})
    return [(student, teacher) for student in peers for teacher in peers if student != teacher]


def _rows(
    pair_of_R: Sequence[_Pair],
    setting_of_R: Sequence[SettingOnSet],
    *,
    pairs: Sequence[_Pair],
    settings: Sequence[SettingOnSet],
    path: Path,
) -> IntArray:
    """Return the row number of each pair under each setting, of shape (Q, S)."""
    place_of_pair = {pair: place for place, pair in enumerate(pairs)}
    place_of_setting = {setting: place for place, setting in enumerate(settings)}
    rows_QS = np.full((len(pairs), len(settings)), -1, dtype=np.int64)
    places_of_R = [place_of_pair[pair] for pair in pair_of_R], [place_of_setting[setting] for setting in setting_of_R]
    rows_QS[places_of_R] = np.arange(len(pair_of_R))
    num_tried_Q = (rows_QS >= 0).sum(axis=1)
    if num_tried_Q.min() < len(settings):
        student, teacher = pairs[int(num_tried_Q.argmin())]
        raise ValueError(
            f"Each pair of {path} must have a trial under all {len(settings)} settings, got {num_tried_Q.min()} "
            f"for student {student} and teacher {teacher}."
        )
    return rows_QS


def _num_epochs(table: pa.Table, path: Path) -> int:
    nums = sorted(set(table["epochs"].to_pylist()))
    if len(nums) > 1:
        raise ValueError(f"All trials of {path} must have the same epochs, got from {nums[0]} to {nums[-1]}.")
    return int(nums[0])


def _gains(table: pa.Table, gain: _Gain, num_epochs: int, path: Path) -> FloatArray:
    """Return gains, of shape (R, E): of whole trials (E = 1), or after each epoch."""
    values_RE = _accuracies(table[gain.name], num_epochs, path)
    return values_RE - table[gain.before].to_numpy()[:, None] if gain.before else values_RE


def _accuracies(column: pa.ChunkedArray, num_epochs: int, path: Path) -> FloatArray:
    """Return the accuracies in a column of numbers (E = 1) or of lists, of shape (R, E)."""
    values = column.combine_chunks()
    if not pa.types.is_list(values.type):
        return np.asarray(values.to_numpy(), dtype=np.float64)[:, None]
    if set(pc.list_value_length(values).to_pylist()) != {num_epochs}:
        raise ValueError(f"All trials of {path} must have an accuracy after each of {num_epochs} epochs.")
    accuracies_RE: FloatArray = values.flatten().to_numpy().reshape(-1, num_epochs)
    return accuracies_RE


def _default(
    settings: Sequence[SettingOnSet], default_transfer_set: str | None, default_learning_rate: float | None, path: Path
) -> int:
    wanted = default_transfer_set or settings[0].transfer_set
    rates = sorted({setting.learning_rate or 0.0 for setting in settings})
    if len(rates) > 1 and default_learning_rate not in rates:
        given = "none" if default_learning_rate is None else default_learning_rate
        raise ValueError(f"default_learning_rate must be one of {rates}, those of {path}, got {given}.")
    default = UntunedDefault(
        wanted,
        learning_rate=default_learning_rate if len(rates) > 1 else settings[0].learning_rate,
        loss=_usual([setting.loss for setting in settings], kl.LOSS.name),
        target=_usual([setting.target for setting in settings], teacher.TARGET.name),
    )
    columns = {name: [getattr(setting, name) for setting in settings] for name in CHANGE_COLUMNS}
    ranks_S = ranks(columns, default=default)
    if ranks_S.min() > 0:
        raise ValueError(f"Each pair of {path} must have a trial of the default on {wanted}, got none.")
    return int(ranks_S.argmin())


def _usual(names: Sequence[str | None], usual: str) -> str | None:
    """Return the loss or target of the untuned default: ``usual`` if the table has it, else the first in the table."""
    return usual if usual in names else names[0]


def _features(path: Path, pairs: Sequence[_Pair]) -> tuple[tuple[str, ...], FloatArray]:
    """Return the names of the features of the pairs, and their values, of shape (Q, F).

    F is 0 if the file does not exist.
    """
    if not path.is_file():
        return (), np.empty((len(pairs), 0))
    with _reading(path, "a table of features of pairs"):
        table = pq.read_table(path)
    lacking = [name for name in _PAIR_COLUMNS if name not in table.column_names]
    if lacking:
        raise ValueError(f"{path} must be a table of features of pairs, got one that lacks {', '.join(lacking)}.")
    rows = list(zip(*(table[name].to_pylist() for name in _PAIR_COLUMNS), strict=True))
    names = tuple(name for name in table.column_names if name not in _PAIR_COLUMNS)
    check_features(table, names, path)
    check_once(rows, np.arange(len(rows)), path, noun="pair")
    row_of_pair = {pair: row for row, pair in enumerate(rows)}
    missing = [pair for pair in pairs if pair not in row_of_pair]
    if missing:
        student, teacher = missing[0]
        raise ValueError(
            f"{path} must have features of each pair, got none of student {student} and teacher {teacher}."
        )
    features_RF = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float64)
    return names, features_RF[[row_of_pair[pair] for pair in pairs]]
