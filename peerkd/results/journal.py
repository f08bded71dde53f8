"""An append-only file of finished work, one JSON object a line. It survives a kill at any moment."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from peerkd.errors import ArtifactCorruptError


class Journal:
    """The records of earlier attempts, and the place for new ones. Open it with ``open_journal``."""

    def __init__(self, file: BinaryIO, records: list[dict[str, Any]]) -> None:
        self._file = file
        self.records = records
        """Every record so far, oldest first."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record. When this returns, a kill of the process no longer loses it.

        A power failure may: nothing waits for the disk. What is lost then is done again.
        """
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()
        self.records.append(dict(record))


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal, reading what is there. A last line that a kill cut short is dropped.

    Raises:
        ArtifactCorruptError: If a line other than the last is not a record.
    """
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(file.fileno(), len(whole))
        yield Journal(file, _read_all(whole, path))


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal that somebody may be writing to: a last line that is not whole is left out.

    Raises:
        ArtifactCorruptError: If a line other than the last is not a record.
    """
    content = path.read_bytes()
    return _read_all(content[: content.rfind(b"\n") + 1], path)


def _read_all(lines: bytes, path: Path) -> list[dict[str, Any]]:
    return [_read(line, path, number) for number, line in enumerate(lines.splitlines(), start=1)]


def _read(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ArtifactCorruptError(f"{path}: line {number} must be a record, got {line[:40]!r}.") from error
    if not isinstance(record, dict):
        raise ArtifactCorruptError(f"{path}: line {number} must be a record, got {line[:40]!r}.")
    return record
