"""The comparison of a trial that was trained again with its row in the table of trials, value by value."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from peerkd.results.schema import BY_EPOCH_COLUMNS, CORRECT_BITS
from peerkd.results.table import NOT_IN_FINGERPRINT, RECORD_COLUMNS, assemble
from peerkd.study.trials import IDENTITY_COLUMNS


def find_row(trials: pa.Table, identity: tuple[object, ...]) -> pa.Table | None:
    """Return the row of the trial with the given identity as a table of one row; None if there is no such trial."""
    rows = trials
    for name, value in zip(IDENTITY_COLUMNS, identity, strict=True):
        # In Arrow no value equals null.
        rows = rows.filter(pc.is_null(rows[name]) if value is None else pc.equal(rows[name], value))
    return rows if rows.num_rows else None


def differing_columns(record: Mapping[str, Any], row: pa.Table) -> list[str] | None:
    """Return the columns in which a trial that was trained again differs from its row in the table of trials.

    An empty list shows that the trial was reproduced. If the new trial has stopped after fewer epochs, only the
    accuracies after these epochs are compared.

    Args:
        record: The record of the new trial.
        row: The row of the original trial in the table of trials.

    Returns:
        The names of the columns, or None if the row contains no result after this number of epochs.
    """
    again = assemble([record])
    num_epochs, num_known = record["epochs"], row["epochs"][0].as_py()
    if num_epochs == num_known:
        return [
            name
            for name in RECORD_COLUMNS
            if name not in NOT_IN_FINGERPRINT
            and not again[name].equals(row[name])
            # A table from before the bits were recorded has none to compare with.
            and not (name == CORRECT_BITS["validation"] and row[name].null_count)
        ]
    known = {name: row[name][0].as_py() for name in BY_EPOCH_COLUMNS.values()}
    if num_epochs > num_known or None in known.values():
        return None
    return [name for name, values in known.items() if again[name][0].as_py() != values[:num_epochs]]
