"""An append-only file of finished work, one JSON object a line. It survives a kill at any moment."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from peerkd.errors import ArtifactCorruptError


class Journal:
    """The place for new records, after those of earlier attempts. Open it with ``open_journal``."""

    def __init__(self, file: BinaryIO, *, num_records: int) -> None:
        self._file = file
        self.num_records = num_records
        """So far, those of earlier attempts among them. They are on the disk, not in memory."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record. When this returns, a kill of the process no longer loses it.

        A power failure may: nothing waits for the disk. What is lost then is done again.
        """
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()
        self.num_records += 1


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal, reading what is there. A last line that a kill cut short is dropped.

    Raises:
        ArtifactCorruptError: If a line other than the last is not a record.
    """
    with path.open("a+b") as file:
        file.seek(0)
        num_records = sum(1 for _ in _records(file, path))
        file.seek(0)
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        if whole < file.tell():
            os.ftruncate(file.fileno(), whole)
        yield Journal(file, num_records=num_records)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal that somebody may be writing to: a last line that is not whole is left out.

    Raises:
        ArtifactCorruptError: If a line other than the last is not a record.
    """
    with path.open("rb") as file:
        yield from _records(file, path)


def _records(file: Iterable[bytes], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            # Its rest may be written just now, and would look like a line of its own.
            return
        yield _read(line[:-1], path, number)


def _read(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ArtifactCorruptError(f"{path}: line {number} must be a record, got {line[:40]!r}.") from error
    if not isinstance(record, dict):
        raise ArtifactCorruptError(f"{path}: line {number} must be a record, got {line[:40]!r}.")
    return record
