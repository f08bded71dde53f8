"""Further values of each image of a folder, such as the hospital that it comes from, in a CSV file.

    file_name,hospital,scanner
    train/cat/1.jpg,north,3
    train/dog/2.png,south,1

The column ``file_name`` contains the path of an image below the folder, with ``/`` as separator. It has the same name
in the metadata files of Hugging Face's ImageFolder. Every other column becomes a column of the data set. Its values
become whole numbers if all of them are whole numbers as Python writes them; otherwise they stay text.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from peerkd.data.skipped import SkippedEntries, Tally
from peerkd.data.wording import listed, printable
from peerkd.errors import DataSourceError
from peerkd.excerpt import start_of
from peerkd.wording import plural

FILE_NAME: Final = "file_name"
"""The column with the path of the image that a row describes."""

OTHER_ROWS: Final = "rows of data.columns_path without an image"

_OTHER_NAMES: Final = frozenset({"file", "filename", "file_path", "filepath", "path", "image", "file_name"})
"""Names that people give to the column ``file_name``, in lower case."""

_FIELD: Final = "data.columns_path"


class Columns(NamedTuple):
    """The columns of the N images of a folder."""

    columns: Mapping[str, np.ndarray]
    """The values of each column, of shape (N,). The value of an image without a row is the empty text."""

    remarks: tuple[str, ...]
    skipped: tuple[SkippedEntries, ...]


def read_columns(path: Path, relative_paths: Sequence[str]) -> Columns:
    """Read the values of each image.

    Args:
        path: The CSV file, in UTF-8.
        relative_paths: The path of each image below the root of the data set.

    Raises:
        DataSourceError: If the file cannot be read, has no column ``file_name``, describes an image twice, or describes
            none of the images.
    """
    where = f"{_FIELD}: {printable(str(path))}"
    if not path.is_file():
        raise DataSourceError(f"{where} must be a file that exists; check the path{start_of(path)}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            names, rows = _parse(where, csv.reader(stream, strict=True))
    except OSError as error:
        raise DataSourceError(f"{where} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataSourceError(f"{where} must be text in UTF-8, got other bytes at position {error.start:,}.") from error
    except csv.Error as error:
        raise DataSourceError(f"{where} must be a CSV file with commas: {error}.") from error
    tally = Tally()
    known = set(relative_paths)
    for file_name in rows:
        if file_name not in known:
            tally.add(OTHER_ROWS, file_name)
    missing = [file_name for file_name in relative_paths if file_name not in rows]
    if len(missing) == len(relative_paths):
        raise DataSourceError(
            f"{where} must describe images by their path below data.path, as in {printable(relative_paths[0])}, and "
            f"describes {listed(sorted(rows)) or 'nothing'}."
        )
    blank = ("",) * len(names)
    values = [rows.get(file_name, blank) for file_name in relative_paths]
    remarks = (f"{plural(len(missing), 'image')} without a row in {_FIELD}: {listed(missing)}",) if missing else ()
    columns = {name: _column([row[index] for row in values]) for index, name in enumerate(names)}
    return Columns(columns, remarks, tally.skipped())


def _advice(header: list[str]) -> str:
    """Return what to do about a first line in which the column of file names is not found."""
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        return "separate the columns by commas"
    meant = [name for name in header if name.casefold().replace(" ", "_") in _OTHER_NAMES]
    if len(meant) == 1 and FILE_NAME not in header:
        return f"rename the column {printable(meant[0])} to {FILE_NAME}"
    return f"the column {FILE_NAME} has the path of each image below data.path"


def _parse(where: str, lines: Iterator[list[str]]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the names of the columns other than ``file_name``, and their values for each file name."""
    header = [name.strip() for name in next(lines, [])]
    if header.count(FILE_NAME) != 1 or len(set(header)) != len(header) or len(header) < 2:
        raise DataSourceError(
            f"{where} must begin with a line of different column names, among them {FILE_NAME}, got "
            f"{listed(header) or 'an empty line'}; {_advice(header)}."
        )
    for name in header:
        if not name.isidentifier():
            raise DataSourceError(
                f"{where} must have names of columns that consist of letters, digits and underscores, got "
                f"{printable(name)!r}; rename the column."
            )
    place = header.index(FILE_NAME)
    rows: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise DataSourceError(
                f"{where} must have {len(header)} values in every row, got {len(line)} in row {number:,}"
                f"{f', of {printable(line[place])}' if place < len(line) else ''}."
            )
        if any("\0" in value for value in line):
            raise DataSourceError(f"{where} must not contain a NUL character, got one in row {number:,}.")
        file_name = line[place].removeprefix("./")
        if file_name in rows:
            raise DataSourceError(
                f"{where} must describe every image once, got {printable(file_name)} again in row {number:,}."
            )
        rows[file_name] = tuple(value for index, value in enumerate(line) if index != place)
    return [name for name in header if name != FILE_NAME], rows


def _column(values: list[str]) -> np.ndarray:
    """Return the values as whole numbers if all are whole numbers as Python writes them, else as text.

    The values 7 and 007 therefore stay different.
    """
    try:
        numbers = np.array([int(value) for value in values], np.int64)
    except (ValueError, OverflowError):
        return np.array(values, np.str_)
    return numbers if all(map(str.__eq__, map(str, numbers.tolist()), values)) else np.array(values, np.str_)
