"""An append-only file of finished work, one JSON object a line. It survives a kill at any moment.

Each line begins with a checksum of all that follows it: ``{"checksum": "0123456789abcdef", ...}``, the first 64 bits
of a SHA-256. A line is read only if it proves itself, so that neither a flipped bit nor a digit that somebody changed
becomes another record. A cyclic redundancy check would find every single flipped bit for certain, but of the changes
that reach further than 32 bits it misses one in 4 * 10^9; a hash misses one in 2 * 10^19 whatever the change is, and
takes microseconds a line.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from peerkd.errors import ArtifactCorruptError

CHECKSUM: Final = "checksum"
"""Key of a line's checksum. ``read_journal`` leaves it in the record."""

_NUM_DIGITS: Final = 16
_BEFORE: Final = f'{{"{CHECKSUM}": "'.encode()


class Journal:
    """The place for new records, after those of earlier attempts. Open it with ``open_journal``."""

    def __init__(self, file: BinaryIO, *, num_records: int) -> None:
        self._file = file
        self.num_records = num_records
        """So far, those of earlier attempts among them. They are on the disk, not in memory."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record. When this returns, a kill of the process no longer loses it.

        A power cut may, until the file is synced: whoever says that the work is done syncs the file before.
        """
        self._file.write(to_line(record))
        self._file.flush()
        self.num_records += 1


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal, reading what is there. A last line that a kill cut short is dropped.

    Raises:
        ArtifactCorruptError: If a whole line does not prove itself.
    """
    with path.open("a+b") as file:
        file.seek(0)
        num_records = sum(1 for _ in _records(file, path, None))
        file.seek(0)
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        if whole < file.tell():
            os.ftruncate(file.fileno(), whole)
        yield Journal(file, num_records=num_records)


def read_journal(path: Path, *, tell_damaged: Callable[[int], None] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal that somebody may be writing to: a last line that is not whole is left out.

    Args:
        path: The journal.
        tell_damaged: Is given the number of each whole line that does not prove itself; such lines are left out.
            None: they are errors.

    Raises:
        ArtifactCorruptError: If a whole line does not prove itself and nobody is to be told.
    """
    with path.open("rb") as file:
        yield from _records(file, path, tell_damaged)


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return the line of a record, its end included. A checksum that the record has from another line is replaced.

    Raises:
        ValueError: If JSON has no text for a value, as for NaN.
    """
    if CHECKSUM in record:
        record = {name: value for name, value in record.items() if name != CHECKSUM}
    rest = (", " if record else "").encode() + json.dumps(record, allow_nan=False).encode()[1:]
    return b"".join((_BEFORE, _checksum(rest), b'"', rest, b"\n"))


def from_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, with its checksum, or None if the line is not what ``to_line`` wrote."""
    start, end = len(_BEFORE), len(_BEFORE) + _NUM_DIGITS
    rest = line[end + 1 :].removesuffix(b"\n")
    if line[:start] != _BEFORE or line[end : end + 1] != b'"' or line[start:end] != _checksum(rest):
        return None
    record: dict[str, Any] = json.loads(line)
    return record


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:_NUM_DIGITS].encode()


def _records(file: Iterable[bytes], path: Path, tell_damaged: Callable[[int], None] | None) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            # Its rest may be written just now, and would look like a line of its own.
            return
        record = from_line(line)
        if record is not None:
            yield record
        elif tell_damaged:
            tell_damaged(number)
        else:
            raise ArtifactCorruptError(
                f"{path}: line {number} must be a record with its checksum, got {line[:-1][:60]!r}."
            )
