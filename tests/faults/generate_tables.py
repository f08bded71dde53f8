"""Tables of trials that a user may pass to the program: valid ones with one change."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tables import Study

_ACCURACIES: Final = ("validation_global_accuracy_before", "test_global_accuracy_after", "test_global_accuracy_before")


def table_file(path: Path, rng: random.Random) -> bool:
    """Write a table, and return whether it contains something that no sweep can produce."""
    table, is_impossible = rng.choice(_CHANGES)(_sound(), rng)
    pq.write_table(table, path)
    if rng.random() < 0.3:
        content = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            del content[rng.randrange(len(content)) :]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    return is_impossible


@cache
def _sound() -> pa.Table:
    return Study(
        num_peers=3,
        num_classes=3,
        temperatures=(1.0, 4.0),
        alphas=(0.5, 0.9),
        num_validation_samples=30,
        num_test_samples=30,
        by_epoch=True,
    ).table


def _nothing(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    return table, False


def _value(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    """Replace one accuracy by a value that is not an accuracy."""
    name = rng.choice(_ACCURACIES)
    values = table[name].to_pylist()
    values[rng.randrange(len(values))] = rng.choice([float("nan"), float("inf"), -0.5, 1.5, 1e300])
    return _with(table, name, pa.array(values, pa.float64())), True


def _by_epoch(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    """Remove one accuracy after an epoch, or replace it by a value that is not an accuracy."""
    name = "validation_global_accuracy_by_epoch"
    values = table[name].to_pylist()
    weights = table["distillation_weight"].to_pylist()
    row = rng.choice([number for number, value in enumerate(values) if value and weights[number]])
    values[row] = rng.choice([[], [0.5], [float("nan")] * 3, [0.1, 2.0, 0.3], [0.1] * 4])
    return _with(table, name, pa.array(values, table.schema.field(name).type)), True


def _without_column(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    return table.drop_columns([rng.choice(table.column_names)]), False


def _other_type(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    name = rng.choice(table.column_names)
    return _with(table, name, pa.array([rng.choice(["text", "0.5"])] * table.num_rows)), False


def _other_setting(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    name = rng.choice(["temperature", "alpha", "student", "teacher", "epochs", "num_transfer_samples"])
    values = table[name].to_pylist()
    values[rng.randrange(len(values))] = rng.choice([None, -1, 0, 10**6])
    return _with(table, name, pa.array(values, table.schema.field(name).type)), False


def _rows_left_out(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    return table.slice(0, rng.randrange(table.num_rows)), False


def _rows_twice(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    return pa.concat_tables([table, table.slice(0, rng.randint(1, 5))]), False


def _another_table(table: pa.Table, rng: random.Random) -> tuple[pa.Table, bool]:
    return pa.table({"a": [1, 2, 3]}), False


_CHANGES: Final[tuple[Callable[[pa.Table, random.Random], tuple[pa.Table, bool]], ...]] = (
    _nothing,
    _value,
    _value,
    _by_epoch,
    _without_column,
    _other_type,
    _other_setting,
    _rows_left_out,
    _rows_twice,
    _another_table,
)


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
