"""An append-only file of finished work, with one JSON object per line. It survives a kill at any moment.

Each line begins with a checksum of the rest of the line: ``{"checksum": "0123456789abcdef", ...}``, the first 64 bits
of a SHA-256. A line is read only if its checksum matches, so neither a flipped bit nor an edited digit becomes another
record. A CRC-32 would detect every single flipped bit, but it misses one in 4 * 10^9 of the changes that span more than
32 bits. The hash misses one change in 2 * 10^19 of any kind, and takes microseconds per line.
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
"""The key of a line's checksum. The records of ``read_journal`` contain it."""

_NUM_DIGITS: Final = 16
_PREFIX: Final = f'{{"{CHECKSUM}": "'.encode()


class Journal:
    """A journal that is open for appending. Open it with ``open_journal``."""

    def __init__(self, file: BinaryIO, *, num_records: int) -> None:
        self._file = file
        self.num_records = num_records
        """The number of records, including those of earlier attempts."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record. Once this method has returned, the record survives a kill of the process.

        The record survives a power cut only after the file has been synced. Callers sync the file before they report
        the work as done.
        """
        self._file.write(to_line(record))
        self._file.flush()
        self.num_records += 1


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal for appending, and check its records. A last line that a kill cut short is removed.

    Raises:
        ArtifactCorruptError: If a complete line does not match its checksum.
    """
    with path.open("a+b") as file:
        file.seek(0)
        num_records = sum(1 for _ in _records(file, path, None))
        file.seek(0)
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        if whole < file.tell():
            os.ftruncate(file.fileno(), whole)
        yield Journal(file, num_records=num_records)


def read_journal(path: Path, *, on_damaged: Callable[[int], None] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal. An incomplete last line is left out, because a process may still be writing it.

    Args:
        path: The journal.
        on_damaged: Called with the number of each complete line that does not match its checksum; the line is left
            out. If None, such a line is an error.

    Raises:
        ArtifactCorruptError: If a complete line does not match its checksum and ``on_damaged`` is None.
    """
    with path.open("rb") as file:
        yield from _records(file, path, on_damaged)


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return the line of a record, with its checksum and a line end.

    A record that was read from a journal already contains a checksum, which is replaced.

    Raises:
        ValueError: If JSON cannot represent a value, such as NaN.
    """
    if CHECKSUM in record:
        record = {name: value for name, value in record.items() if name != CHECKSUM}
    rest = (", " if record else "").encode() + json.dumps(record, allow_nan=False).encode()[1:]
    return b"".join((_PREFIX, _checksum(rest), b'"', rest, b"\n"))


def from_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line that ``to_line`` wrote, with its checksum; None if the line is damaged."""
    start, end = len(_PREFIX), len(_PREFIX) + _NUM_DIGITS
    rest = line[end + 1 :].removesuffix(b"\n")
    if line[:start] != _PREFIX or line[end : end + 1] != b'"' or line[start:end] != _checksum(rest):
        return None
    record: dict[str, Any] = json.loads(line)
    return record


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:_NUM_DIGITS].encode()


def _records(file: Iterable[bytes], path: Path, on_damaged: Callable[[int], None] | None) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            # Another process may be writing the rest of this line, which would then look like a line of its own.
            return
        record = from_line(line)
        if record is not None:
            yield record
        elif on_damaged:
            on_damaged(number)
        else:
            raise ArtifactCorruptError(
                f"{path}: line {number} must be a record with its checksum, got {line[:-1][:60]!r}."
            )
