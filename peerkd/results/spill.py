"""The table of trials from more records than memory has room for.

All derived columns of a row follow from rows of the same student, and the student is the first thing that rows are
ordered by. So the records of each student go to a file of its own, and the table is made student by student.
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
"""Of records that wait to be written, so that a thousand files need not be open at once."""


class WrittenTable(NamedTuple):
    """What is on disk."""

    num_trials: int
    num_diverged: int
    """Trials that diverged."""

    seconds: float
    """That the trials took, added up."""

    fingerprint: str


def write_trials(records: Iterable[Record], path: Path, *, scratch_folder: Path) -> WrittenTable:
    """Write the table of all records as Parquet; rows and fingerprint are those of ``assemble``.

    At most the records of one student are in memory at a time.

    Args:
        records: As a journal has them: values that JSON can write. In any order.
        path: Takes the table, each student as a row group.
        scratch_folder: Has room for all records once more while the table is made.

    Raises:
        ValueError: As ``assemble``.
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
