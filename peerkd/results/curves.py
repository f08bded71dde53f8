"""The table of curves: the measurements of all runs of online distillation, one row for each epoch and quantity.

Each quantity belongs to a split. On the split ``train``, quantities are means over the epoch: ``loss``, ``loss/<part>``
(a part of the loss before its weight is applied), ``ramp_weight`` and ``learning_rate``. On the splits ``validation``
and ``test``, quantities are measured after the epoch: ``accuracy/<predictor>``, ``disagreement`` between the branches,
and ``mean_disagreement`` between the branches of the mean network. Choices are made on ``validation``, and ``test``
serves only for reporting.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results import arrow

SPLITS: Final = ("train", "validation", "test")

CURVES_SCHEMA: Final = pa.schema(
    [
        arrow.field("architecture", pa.string(), "Architecture of the run, as in the config", nullable=False),
        arrow.field("method", pa.string(), "Training method of the run, as in the config", nullable=False),
        arrow.field("seed", pa.int64(), "Seed of the run's random numbers", nullable=False),
        arrow.field("split", pa.string(), "Samples behind the value: train, validation or test", nullable=False),
        arrow.field("quantity", pa.string(), "Measured quantity, such as accuracy/branch_1", nullable=False),
        arrow.field("epoch", pa.int32(), "Number of finished epochs, from 1", nullable=False),
        arrow.field(
            "value", pa.float64(), "Measured value; accuracies and shares are fractions; null if it is not finite"
        ),
        arrow.field(
            "is_finite", pa.bool_(), "Whether the run ended in finite numbers: false if it diverged", nullable=False
        ),
    ]
)
"""Every column with its type and, as metadata, its meaning. All columns but the last two identify a row."""

IDENTITY_COLUMNS: Final = ("architecture", "method", "seed", "split", "quantity", "epoch")

_KIND: Final = arrow.TableKind("table of curves", "CURVES_SCHEMA", CURVES_SCHEMA)


class CurveKey(NamedTuple):
    """The identity of a curve."""

    architecture: str
    method: str
    seed: int
    split: str
    quantity: str


class Curve(NamedTuple):
    """One quantity of one run. Epochs are ascending, and a value that was not finite is NaN."""

    epochs: IntArray
    values: FloatArray


class Band(NamedTuple):
    """Mean, minimum and maximum of several curves, at the epochs at which all of them were measured."""

    epochs: IntArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray


def assemble(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return the table of curves. The order of its rows does not depend on the order of the records.

    Args:
        records: One mapping for each row, with exactly the columns of ``CURVES_SCHEMA``. A value that is not finite,
            such as the loss of a training that diverged, becomes null.

    Raises:
        ValueError: If a record has other columns, lacks a column or has an unknown split, or if two records have the
            same identity.
    """
    rows = list(records)
    expected = set(CURVES_SCHEMA.names)
    for row in rows:
        if row.keys() != expected:
            named = ", ".join(sorted(row.keys() ^ expected))
            raise ValueError(
                f"A record of a curve must have the columns of CURVES_SCHEMA, got a difference in {named}."
            )
        if row["split"] not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {row['split']}.")
    columns = {name: [row[name] for row in rows] for name in CURVES_SCHEMA.names}
    columns["value"] = list(map(_finite, columns["value"]))
    table = pa.table({each.name: pa.array(columns[each.name], each.type) for each in CURVES_SCHEMA})
    table = arrow.checked(table.sort_by([(name, "ascending") for name in IDENTITY_COLUMNS]), _KIND)
    _refuse_duplicates(table)
    return table


def fingerprint(table: pa.Table) -> str:
    """Return the SHA-256 of all columns in hexadecimal."""
    return arrow.fingerprint(table)


def write_curves(table: pa.Table, path: Path) -> None:
    """Check the table of curves, and write it as Parquet."""
    arrow.write(table, path, _KIND)


def read_curves(path: Path) -> pa.Table:
    """Read a table that ``write_curves`` wrote, and check it."""
    return arrow.read(path, _KIND)


def diverged_runs(table: pa.Table) -> frozenset[tuple[str, str, int]]:
    """Return architecture, method and seed of each run that diverged."""
    rows = table.filter(pc.invert(table["is_finite"])).select(["architecture", "method", "seed"])
    return frozenset(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def curves_by_key(table: pa.Table) -> dict[CurveKey, Curve]:
    """Return every curve of a table by its key, in the order of the rows of the table."""
    is_first = _differs_from_row_before(table, IDENTITY_COLUMNS[:-1])
    starts = np.flatnonzero(is_first)
    ends = [*starts[1:], table.num_rows]
    epochs = table["epoch"].to_numpy().astype(np.int64)
    values = table["value"].fill_null(math.nan).to_numpy()
    keys = table.select(IDENTITY_COLUMNS[:-1]).take(pa.array(starts)).to_pylist()
    return {
        CurveKey(**key): Curve(epochs[start:end], values[start:end])
        for key, start, end in zip(keys, starts, ends if keys else [], strict=True)
    }


def band(curves: Sequence[Curve]) -> Band | None:
    """Return the band of several curves, or None if no epoch has a value in each of them."""
    if not curves:
        return None
    known = [curve.epochs[~np.isnan(curve.values)] for curve in curves]
    epochs = known[0]
    for other in known[1:]:
        epochs = np.intersect1d(epochs, other)
    if not epochs.size:
        return None
    values = np.array([curve.values[np.searchsorted(curve.epochs, epochs)] for curve in curves])
    return Band(epochs, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def thin(whole: Band, *, num: int) -> Band:
    """Return a band with at most ``num`` of the epochs, evenly spread, including the first and the last."""
    size = len(whole.epochs)
    if size <= num:
        return whole
    places = np.unique(np.linspace(0, size - 1, num).round().astype(np.int64))
    return Band(whole.epochs[places], whole.mean[places], whole.low[places], whole.high[places])


def since(whole: Band, *, epoch: int) -> Band:
    """Return the part of a band from an epoch on, or its last epoch alone if the band ends before that epoch."""
    first = min(int(np.searchsorted(whole.epochs, epoch)), len(whole.epochs) - 1)
    return Band(whole.epochs[first:], whole.mean[first:], whole.low[first:], whole.high[first:])


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _refuse_duplicates(table: pa.Table) -> None:
    same = np.flatnonzero(~_differs_from_row_before(table, IDENTITY_COLUMNS))
    if same.size:
        (row,) = table.slice(int(same[0]), 1).to_pylist()
        named = ", ".join(f"{name} {row[name]}" for name in IDENTITY_COLUMNS)
        raise ValueError(f"Each value must appear once, got two with {named}.")


def _differs_from_row_before(table: pa.Table, names: Iterable[str]) -> BoolArray:
    differs = np.zeros(table.num_rows, dtype=np.bool_)
    differs[:1] = True
    for name in names:
        codes = table[name].combine_chunks().dictionary_encode().indices.to_numpy()
        differs[1:] |= codes[1:] != codes[:-1]
    return differs
