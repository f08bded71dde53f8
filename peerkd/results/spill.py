"""The table of trials from more records than fit in memory.

The derived columns of a row depend only on rows of the same student, and rows are sorted by student first. So the
records of each student go to a file of their own, and the table is written student by student.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from peerkd.results import arrow
from peerkd.results.journal import read_journal, to_line
from peerkd.results.table import KIND, Record, assemble, check_record, fingerprint_file, num_finite

_BUFFER_BYTES: Final = 2**20
"""The size of the buffer for records that are not yet written. With the buffer, not every student's file has to be open
all the time."""


class WrittenTable(NamedTuple):
    """A summary of the table on disk."""

    num_trials: int
    num_diverged: int
    """Number of trials that diverged."""

    seconds: float
    """Sum of the seconds of all trials."""

    fingerprint: str


def write_trials(records: Iterable[Record], path: Path, *, scratch_folder: Path) -> WrittenTable:
    """Write the table of all records as Parquet. It has the same rows and fingerprint as the table from ``assemble``.

    At most the records of one student are in memory at a time.

    Args:
        records: Records as in a journal, in any order. JSON must be able to represent their values.
        path: The file to write. Each student becomes a row group.
        scratch_folder: A folder with enough space for a second copy of all records.

    Raises:
        ValueError: If a record has other keys than a trial, lacks a required value or has an unknown transfer set, or
            if two records are the same trial.
    """
    num_trials, num_diverged, seconds = 0, 0, 0.0
    with TemporaryDirectory(dir=scratch_folder, prefix="students-") as folder:
        students = _spill(records, Path(folder))
        with arrow.open_writer(path, KIND) as append:
            for student in sorted(students):
                table = assemble(read_journal(students[student]))
                append(table)
                num_trials += table.num_rows
                num_diverged += table.num_rows - num_finite(table)
                seconds += sum(table["seconds"].to_pylist())
                students[student].unlink()
    return WrittenTable(num_trials, num_diverged, seconds, fingerprint_file(path))


def _spill(records: Iterable[Record], folder: Path) -> dict[int, Path]:
    """Write each student's records to a file, and return the files."""
    files: dict[int, Path] = {}
    waiting: dict[Path, list[bytes]] = defaultdict(list)
    num_bytes = 0

    def write_waiting() -> None:
        for path, lines in waiting.items():
            with path.open("ab") as file:
                file.writelines(lines)
        waiting.clear()

    for record in records:
        check_record(record)
        student = record["student"]
        line = to_line(record)
        waiting[files.setdefault(student, folder / f"{student}.jsonl")].append(line)
        num_bytes += len(line)
        if num_bytes >= _BUFFER_BYTES:
            write_waiting()
            num_bytes = 0
    write_waiting()
    return files
