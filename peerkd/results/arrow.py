"""Tables of results in Arrow: columns with a meaning, checks, a fingerprint of the values, and Parquet on disk."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from peerkd.arrays import BoolArray, FloatArray
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError

_BATCH_ROWS: Final = 2**12
"""The number of rows of a piece, if a table is read from disk in pieces."""


class TableKind(NamedTuple):
    """A kind of table: its columns, and the rules for its values."""

    noun: str
    """The name of the kind in error messages, such as ``table of trials``."""

    schema_name: str
    schema: pa.Schema

    check_values: Callable[[pa.Table, int], None] | None = None
    """A function of a table and the number of its first row, which raises ``ValueError`` if a value breaks a rule."""

    later_columns: tuple[str, ...] = ()
    """Columns that were added to the schema after files of this kind had been written, in the order of the schema. A
    column that a file lacks is read as nulls. If such a column has only nulls, the fingerprint of the table does not
    include it, so that the fingerprint of an older table stays the same."""


def field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = True) -> pa.Field:
    """Return a column with its meaning as metadata."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": meaning})


def checked(table: pa.Table, kind: TableKind, *, first_row: int = 0) -> pa.Table:
    """Check a table, and return it with the meaning of each column as metadata.

    Args:
        table: A whole table or some of its rows.
        kind: The required kind of table.
        first_row: Number of its first row in the whole table.

    Raises:
        ValueError: If names, order or types of the columns differ from the schema, a required value is null, a number
            is NaN or infinite, or the values break a rule of their kind. The message names column and row.
    """
    if table.column_names != kind.schema.names:
        different = set(table.column_names) ^ set(kind.schema.names)
        problem = f"differing in {', '.join(sorted(different))}" if different else "in another order"
        raise ValueError(f"A {kind.noun} must have the columns of {kind.schema_name}, got {problem}.")
    for expected, column in zip(kind.schema, table.columns, strict=True):
        if not column.type.equals(expected.type):
            raise ValueError(f"{expected.name} must be {expected.type}, got {column.type}.")
        if column.null_count and not expected.nullable:
            raise ValueError(f"{expected.name} must have a value in every row, got {column.null_count} rows without.")
        check_finite(table, expected.name, first_row=first_row)
    if kind.check_values:
        kind.check_values(table, first_row)
    return table.cast(kind.schema)


def check_finite(table: pa.Table, name: str, *, first_row: int = 0) -> None:
    """Refuse a column of numbers, or of lists of numbers, that contains NaN or infinity. Other types pass.

    Args:
        table: A whole table or some of its rows.
        name: Name of the column.
        first_row: Number of its first row in the whole table.

    Raises:
        ValueError: If such a number occurs. The message names its row, counted from 0.
    """
    kind = table.schema.field(name).type
    if pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind):
        _check_numbers(table, name, "a finite number", pc.is_finite, first_row)


def check_fraction(table: pa.Table, name: str, *, first_row: int = 0) -> None:
    """Refuse a column of numbers, or of lists of numbers, that contains a number below 0 or above 1.

    Raises:
        ValueError: If such a number occurs.
    """
    _check_numbers(
        table,
        name,
        "a fraction from 0 to 1",
        lambda values: pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, 1)),
        first_row,
    )


def find_wrong(
    column: pa.ChunkedArray, is_right: Callable[[pa.Array], pa.Array], *, allows_null: bool = True
) -> tuple[int, Any] | None:
    """Find the first value that breaks a rule, and return its row number and the value.

    The result is None if no value breaks the rule.

    Args:
        column: The column. If it contains lists, each of their items is a value.
        is_right: Returns for each value whether it keeps the rule, and null for null.
        allows_null: Whether null keeps the rule.
    """
    values = column.combine_chunks()
    rows = None
    if pa.types.is_list(column.type):
        rows, values = pc.list_parent_indices(values), values.flatten()
    place = pc.index(pc.fill_null(is_right(values), allows_null), False).as_py()
    if place < 0:
        return None
    return place if rows is None else rows[place].as_py(), values[place].as_py()


def _check_numbers(
    table: pa.Table, name: str, rule: str, is_right: Callable[[pa.Array], pa.Array], first_row: int
) -> None:
    wrong = find_wrong(table[name], is_right)
    if wrong:
        row, value = wrong
        raise ValueError(f"{name} must be {rule} in every row, got {value} in row {first_row + row}.")


def fingerprint(table: pa.Table, *, without: frozenset[str] = frozenset(), later_columns: Collection[str] = ()) -> str:
    """Return the SHA-256 of the columns in hexadecimal.

    The result depends only on the names, the types and the values of the columns, and not on how Arrow has chunked,
    sliced or padded the values.

    Args:
        table: Any table.
        without: Names of the columns to exclude.
        later_columns: Names of the columns to exclude if all their values are null. Older tables lack these columns.
    """
    return _fingerprint(
        table.schema,
        lambda name: iter(table.column(name).chunks),
        num_rows=table.num_rows,
        without=without,
        later_columns=later_columns,
    )


def fingerprint_file(path: Path, kind: TableKind, *, without: frozenset[str] = frozenset()) -> str:
    """Return the ``fingerprint`` of a table that ``write`` wrote. The file is read piece by piece, to save memory."""
    with pq.ParquetFile(path) as file:

        def pieces(name: str) -> Iterator[pa.Array]:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=[name], use_threads=False):
                yield batch.column(0)

        # The schema of the file cannot be used, because Parquet gives the items of a list another name.
        return _fingerprint(
            kind.schema,
            pieces,
            num_rows=file.metadata.num_rows,
            without=without,
            later_columns=kind.later_columns,
        )


def write(table: pa.Table, path: Path, kind: TableKind) -> None:
    """Write the table as Parquet.

    Raises:
        ValueError: If the table is not of the given kind.
    """
    pq.write_table(checked(table, kind), path, compression="zstd")


@contextmanager
def open_writer(path: Path, kind: TableKind) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a table to a Parquet file as a row group.

    The function raises ValueError if the table is not of the given kind.
    """
    with pq.ParquetWriter(path, kind.schema, compression="zstd") as writer:

        def append(table: pa.Table) -> None:
            writer.write_table(checked(table, kind), row_group_size=max(table.num_rows, 1))

        yield append


def read(path: Path, kind: TableKind) -> pa.Table:
    """Read a table that ``write`` wrote.

    Raises:
        ArtifactNotFoundError: If the file does not exist.
        ArtifactCorruptError: If the file is not Parquet or does not contain a table of this kind.
    """
    with _reading(path, kind), pq.ParquetFile(path) as file:
        table = file.read()
    return _checked_file(table, path, kind)


@contextmanager
def mapped(path: Path, kind: TableKind) -> Iterator[pa.Table]:
    """Yield the table that ``read`` returns, as a file that is mapped into memory.

    The operating system loads values when they are accessed, and can drop them from memory again.

    Raises:
        ArtifactNotFoundError: If the file does not exist.
        ArtifactCorruptError: If the file is not Parquet or does not contain a table of this kind.
    """
    with TemporaryDirectory(prefix="peerkd-") as folder:
        unpacked = Path(folder) / "table.arrow"
        _unpack(path, unpacked, kind)
        with pa.memory_map(str(unpacked)) as source:
            yield pa.ipc.open_file(source).read_all()


def _unpack(path: Path, unpacked: Path, kind: TableKind) -> None:
    """Convert a Parquet file to an Arrow file, which can be mapped into memory.

    The table is converted piece by piece, so that it need not fit in memory.
    """
    with (
        _reading(path, kind),
        pq.ParquetFile(path) as file,
        pa.OSFile(str(unpacked), "wb") as sink,
        pa.ipc.new_file(sink, kind.schema) as writer,
    ):
        _checked_file(file.schema_arrow.empty_table(), path, kind)
        first_row = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            writer.write_table(_checked_file(pa.Table.from_batches([batch]), path, kind, first_row=first_row))
            first_row += batch.num_rows


@contextmanager
def _reading(path: Path, kind: TableKind) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(f"No {kind.noun} exists at {path}.") from error
    except (pa.ArrowException, OSError) as error:
        # Errors of the disk have a number. Errors that Arrow finds in the content have none.
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        raise ArtifactCorruptError(f"The {kind.noun} at {path} cannot be read as Parquet: {error}.") from error


def _checked_file(table: pa.Table, path: Path, kind: TableKind, *, first_row: int = 0) -> pa.Table:
    for name in kind.later_columns:
        if name not in table.column_names:
            column, place = kind.schema.field(name), kind.schema.get_field_index(name)
            # A table that lacks other columns, too, is refused below.
            place = min(place, table.num_columns)
            table = table.add_column(place, column, pa.nulls(table.num_rows, type=column.type))
    try:
        return checked(table, kind, first_row=first_row)
    except ValueError as error:
        raise ArtifactCorruptError(f"{path} does not contain a {kind.noun}: {error}") from error


def _fingerprint(
    schema: pa.Schema,
    pieces: Callable[[str], Iterator[pa.Array]],
    *,
    num_rows: int,
    without: frozenset[str],
    later_columns: Collection[str],
) -> str:
    digest = hashlib.sha256()
    for column in schema:
        is_unused = column.name in later_columns and all(
            array.null_count == len(array) for array in pieces(column.name)
        )
        if column.name not in without and not is_unused:
            digest.update(f"{column.name}:{column.type}:{num_rows};".encode())
            _update(digest, column.type, partial(pieces, column.name))
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", kind: pa.DataType, pieces: Callable[[], Iterator[pa.Array]]) -> None:
    """Add the validity, the lengths and the values of a column to a digest. The memory behind a null is ignored.

    Args:
        digest: The digest to which the bytes are added.
        kind: Type of the column.
        pieces: Returns the column piece by piece. It is called several times.
    """
    _update_with_validity(digest, pieces())
    if pa.types.is_list(kind):
        for array in pieces():
            digest.update(array.value_lengths().fill_null(0).to_numpy().astype("<i8").tobytes())
        _update(digest, kind.value_type, lambda: (array.flatten() for array in pieces()))
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
        for array in pieces():
            values: FloatArray = array.fill_null(0).to_numpy(zero_copy_only=False)
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    elif pa.types.is_boolean(kind):
        _update_with_validity(digest, (array.fill_null(False) for array in pieces()), of_values=True)
    else:
        for array in pieces():
            digest.update(np.array([len(_as_bytes(value)) for value in array.to_pylist()], "<i8").tobytes())
        for array in pieces():
            digest.update(b"".join(_as_bytes(value) for value in array.to_pylist()))


def _update_with_validity(digest: "hashlib._Hash", pieces: Iterator[pa.Array], *, of_values: bool = False) -> None:
    """Add one bit for each value of a column to a digest.

    The bits of all pieces are packed as the bits of one array, so the digest does not depend on the pieces. A bit shows
    whether the value is not null or, with ``of_values``, whether the value is true.
    """
    rest: BoolArray = np.empty(0, dtype=np.bool_)
    for array in pieces:
        flags = np.concatenate([rest, (array if of_values else array.is_valid()).to_numpy(zero_copy_only=False)])
        num_packed = len(flags) // 8 * 8
        digest.update(np.packbits(flags[:num_packed]).tobytes())
        rest = flags[num_packed:]
    digest.update(np.packbits(rest).tobytes())


def _as_bytes(value: str | bytes | None) -> bytes:
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else value
