"""What the tables of results share: columns with a meaning, a fingerprint of the values, and Parquet on disk."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError
from peerkd.results.arrays import FloatArray


class TableKind(NamedTuple):
    """One kind of table, and what errors call it."""

    noun: str
    """As ``table of trials``."""

    schema_name: str
    schema: pa.Schema


def field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = True) -> pa.Field:
    """Return a column that carries its meaning as metadata."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": meaning})


def checked(table: pa.Table, kind: TableKind) -> pa.Table:
    """Return the table with the columns' metadata.

    Raises:
        ValueError: If names, order or types of the columns are not those of the schema, or a required value is null.
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
    return table.cast(kind.schema)


def fingerprint(table: pa.Table, *, without: frozenset[str] = frozenset()) -> str:
    """Return the SHA-256 of every column that is not left out, in hexadecimal.

    Depends on names, types and values alone: not on how Arrow chunked, sliced or padded them.
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        if name in without:
            continue
        column = table.column(name)
        digest.update(f"{name}:{column.type}:{len(column)};".encode())
        _update(digest, column.combine_chunks())
    return digest.hexdigest()


def write(table: pa.Table, path: Path, kind: TableKind) -> None:
    """Write the table as Parquet.

    Raises:
        ValueError: If the table is not of its kind.
    """
    pq.write_table(checked(table, kind), path, compression="zstd")


def read(path: Path, kind: TableKind) -> pa.Table:
    """Read what ``write`` wrote.

    Raises:
        ArtifactNotFoundError: If there is no such file.
        ArtifactCorruptError: If the file is not Parquet or holds no table of this kind.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(f"There is no {kind.noun} at {path}.") from error
    except (pa.ArrowException, OSError) as error:
        raise ArtifactCorruptError(f"The {kind.noun} at {path} cannot be read as Parquet: {error}.") from error
    try:
        return checked(table, kind)
    except ValueError as error:
        raise ArtifactCorruptError(f"{path} does not hold a {kind.noun}: {error}") from error


def _update(digest: "hashlib._Hash", array: pa.Array) -> None:
    """Feed validity, lengths and values; what lies in the memory of a null is never looked at."""
    digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(array.type):
        digest.update(array.value_lengths().fill_null(0).to_numpy().astype("<i8").tobytes())
        _update(digest, array.flatten())
    elif pa.types.is_floating(array.type) or pa.types.is_integer(array.type):
        values: FloatArray = array.fill_null(0).to_numpy(zero_copy_only=False)
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    else:
        texts = [_as_bytes(value) for value in array.to_pylist()]
        digest.update(np.array([len(text) for text in texts], "<i8").tobytes())
        digest.update(b"".join(texts))


def _as_bytes(value: str | bytes | None) -> bytes:
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else value
