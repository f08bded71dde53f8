"""The table of trials, assembled from the records of single trials, in memory and on disk."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from peerkd.results import arrow
from peerkd.results.journal import CHECKSUM
from peerkd.results.schema import CORRECT_BITS, IS_FINITE, LEARNING_RATE, LOSS, TARGET, TRIALS_SCHEMA
from peerkd.study.splits import SCOPES, SPLITS
from peerkd.study.transfer_sets import TRANSFER_SETS, check_transfer_set
from peerkd.study.trials import IDENTITY_COLUMNS, LATER_COLUMNS, record_identity, setting_order

Record: TypeAlias = Mapping[str, Any]

DERIVED_COLUMNS: Final = frozenset(
    name
    for split in SPLITS
    for name in (
        *(f"{split}_{scope}_{part}" for scope in SCOPES for part in ("gain", "gain_from_data", "gain_from_teacher")),
        f"{split}_forgetting",
        f"{split}_learning",
    )
)
"""The columns that ``assemble`` computes from the columns of the records."""

RECORD_COLUMNS: Final = tuple(name for name in TRIALS_SCHEMA.names if name not in DERIVED_COLUMNS)
"""The columns of the record of one trial."""

_REQUIRED_COLUMNS: Final = tuple(name for name in RECORD_COLUMNS if not TRIALS_SCHEMA.field(name).nullable)

_REQUIRED_IF_FINITE: Final = tuple(f"{split}_{scope}_accuracy_after" for split in SPLITS for scope in SCOPES)
"""Columns that must have a value unless the trial diverged."""

_FRACTIONS: Final = tuple(name for name in TRIALS_SCHEMA.names if "_accuracy_" in name or name.endswith("_flips"))
"""Columns whose values lie between 0 and 1."""

NOT_IN_FINGERPRINT: Final = frozenset({"seconds"})


def _check_values(table: pa.Table, first_row: int) -> None:
    """Refuse fractions outside 0 to 1, and trials whose accuracies and ``is_finite`` contradict each other."""
    for name in _FRACTIONS:
        arrow.check_fraction(table, name, first_row=first_row)
    ended_finite = table[IS_FINITE]
    for name in _REQUIRED_IF_FINITE:
        row = pc.index(pc.equal(pc.is_valid(table[name]), ended_finite), False).as_py()
        if row >= 0:
            rule = "a value" if ended_finite[row].as_py() else "no value"
            raise ValueError(
                f"{name} must have {rule} where {IS_FINITE} is {table[IS_FINITE][row]}, got another in row "
                f"{first_row + row}."
            )


MAY_LACK: Final = (*LATER_COLUMNS, CORRECT_BITS["validation"])
"""Columns that were added later, so that older records and tables lack them."""

KIND: Final = arrow.TableKind(
    "table of trials", "TRIALS_SCHEMA", TRIALS_SCHEMA, check_values=_check_values, later_columns=MAY_LACK
)


def assemble(records: Iterable[Record]) -> pa.Table:
    """Return the table of trials, with the derived columns and in a fixed order of rows.

    The order depends only on the identities of the trials. So all runs of one experiment give the same table, with any
    number of workers.

    Args:
        records: One mapping for each trial, which ``check_record`` accepts. Class accuracies are sequences that have
            None or NaN for a class without evaluation samples. Bits are bytes, or hexadecimal as in a journal. A trial
            that diverged has None for each value that is measured after it.

    Raises:
        ValueError: If a record has other keys, lacks a required value or has an unknown transfer set, or if two
            records are the same trial.
    """
    rows = list(records)
    for row in rows:
        check_record(row)
    rows.sort(key=_order)
    _refuse_duplicates(rows)

    columns: dict[str, Any] = {
        name: [row.get(name) if name in MAY_LACK else row[name] for row in rows] for name in RECORD_COLUMNS
    }
    for split in SPLITS:
        columns[CORRECT_BITS[split]] = [
            bytes.fromhex(bits) if isinstance(bits, str) else bits for bits in columns[CORRECT_BITS[split]]
        ]
        before, after = f"{split}_class_accuracy_before", f"{split}_class_accuracy_after"
        columns[before] = [_without_nan(values) for values in columns[before]]
        columns[after] = [_without_nan(values) for values in columns[after]]
        changes = [_class_changes(*pair) for pair in zip(columns[before], columns[after], strict=True)]
        columns[f"{split}_forgetting"] = [lost for lost, _ in changes]
        columns[f"{split}_learning"] = [won for _, won in changes]

    controls = _control_rows(rows)
    for split in SPLITS:
        for scope in SCOPES:
            _add_gains(columns, f"{split}_{scope}", controls)

    table = pa.table({field.name: pa.array(columns[field.name], field.type) for field in TRIALS_SCHEMA}, TRIALS_SCHEMA)
    return arrow.checked(table, KIND)


def fingerprint(table: pa.Table) -> str:
    """Return the SHA-256 of every column except ``seconds``, and except later columns that have only nulls."""
    return arrow.fingerprint(table, without=NOT_IN_FINGERPRINT, later_columns=MAY_LACK)


def num_finite(table: pa.Table) -> int:
    """Return the number of trials that did not diverge."""
    return int(pc.sum(table[IS_FINITE], min_count=0).as_py())


def fingerprint_file(path: Path) -> str:
    """Return the ``fingerprint`` of a table on disk, without the whole table in memory."""
    return arrow.fingerprint_file(path, KIND, without=NOT_IN_FINGERPRINT)


def write_table(table: pa.Table, path: Path) -> None:
    """Check the table of trials, and write it as Parquet."""
    arrow.write(table, path, KIND)


def mapped_table(path: Path) -> AbstractContextManager[pa.Table]:
    """Yield the table that ``read_table`` returns, as a file that is mapped into memory."""
    return arrow.mapped(path, KIND)


def read_table(path: Path) -> pa.Table:
    """Read a table that ``write_table`` wrote, and check it."""
    return arrow.read(path, KIND)


def check_record(row: Record) -> None:
    """Check that a mapping is the record of a trial.

    Raises:
        ValueError: If the mapping lacks a required value or a key of ``RECORD_COLUMNS``, or has any other key. The keys
            in ``MAY_LACK`` may be absent, and the checksum of a journal may be present.
    """
    expected = set(RECORD_COLUMNS)
    required = _REQUIRED_COLUMNS if row.get(IS_FINITE) is False else (*_REQUIRED_COLUMNS, *_REQUIRED_IF_FINITE)
    lacking = expected - row.keys() - {*MAY_LACK} | {name for name in required if row.get(name) is None}
    for problem, names in (("lacks", lacking), ("must not have", row.keys() - expected - {CHECKSUM})):
        if names:
            raise ValueError(f"A record of a trial {problem} {', '.join(sorted(names))}.")


def _order(row: Record) -> tuple[float | str, ...]:
    check_transfer_set(row["transfer_set"])
    order = setting_order(
        row["transfer_set"],
        row["temperature"],
        row["alpha"],
        row["distillation_weight"],
        row[LEARNING_RATE],
        row.get(LOSS),
        row.get(TARGET),
    )
    return (row["student"], -1 if row["teacher"] is None else row["teacher"], *order)


def _refuse_duplicates(rows: Sequence[Record]) -> None:
    seen = set()
    for row in rows:
        identity = record_identity(row)
        if identity in seen:
            named = ", ".join(
                f"{name} {value}"
                for name, value in zip(IDENTITY_COLUMNS, identity, strict=True)
                if name not in (LEARNING_RATE, *LATER_COLUMNS) or value is not None
            )
            raise ValueError(f"Each trial must appear once, got two with {named}.")
        seen.add(identity)


def _control_rows(rows: Sequence[Record]) -> list[int | None]:
    """Find, for each row, the fine-tuning with the same data and learning rate, and return its index.

    The index is None if there is no such fine-tuning.

    For the row of a fine-tuning, this is the row itself.
    """
    controls: dict[tuple[object, ...], int] = {}
    for index, row in enumerate(rows):
        if row["distillation_weight"] == 0:
            data = _data_of(row)
            if data in controls:
                student, teacher, transfer_set, _ = data
                raise ValueError(
                    f"Each student and data must have one control, got two with student {student}, "
                    f"teacher {teacher}, transfer_set {transfer_set}."
                )
            controls[data] = index
    return [controls.get(_data_of(row)) for row in rows]


def _data_of(row: Record) -> tuple[object, ...]:
    """Return the values that identify the training data of a row.

    The teacher is one of them only if the transfer set depends on the teacher.
    """
    teacher = row["teacher"] if TRANSFER_SETS[row["transfer_set"]].depends_on_teacher else None
    return row["student"], teacher, row["transfer_set"], row[LEARNING_RATE]


def _add_gains(columns: dict[str, Any], prefix: str, controls: Sequence[int | None]) -> None:
    gains = [
        None if after is None else after - before
        for before, after in zip(columns[f"{prefix}_accuracy_before"], columns[f"{prefix}_accuracy_after"], strict=True)
    ]
    from_data = [None if control is None else gains[control] for control in controls]
    columns[f"{prefix}_gain"] = gains
    columns[f"{prefix}_gain_from_data"] = from_data
    columns[f"{prefix}_gain_from_teacher"] = [
        None if gain is None or brought is None else gain - brought
        for gain, brought in zip(gains, from_data, strict=True)
    ]


def _without_nan(values: Sequence[float | None] | None) -> list[float | None] | None:
    if values is None:
        return None
    return [None if value is None or math.isnan(value) else float(value) for value in values]


def _class_changes(
    before: Sequence[float | None] | None, after: Sequence[float | None] | None
) -> tuple[float | None, float | None]:
    """Return the mean lost accuracy and the mean gained accuracy over the classes with evaluation samples."""
    if before is None or after is None:
        return None, None
    if len(before) != len(after):
        raise ValueError(f"Class accuracies before and after must be equally many, got {len(before)}, {len(after)}.")
    change = [b - a for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    if not change:
        return None, None
    return sum(max(lost, 0.0) for lost in change) / len(change), sum(max(-lost, 0.0) for lost in change) / len(change)
