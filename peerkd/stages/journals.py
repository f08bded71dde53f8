"""The journals of a stage: files in its workspace, one for each shard and each worker of the shard.

No two workers write to the same journal. The journals of all workers are read together, and each record is verified. A
record is valid if its line has the right checksum, and if each file that the record lists has the listed digest.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts.store import Workspace, file_sha256
from peerkd.metrics.progress import print_line
from peerkd.results.journal import CHECKSUM, Journal, read_journal
from peerkd.stages.shard_claims import ShardClaims
from peerkd.stages.shards import Shard, load_if_intact

JOURNALS: Final = "journals/"
FILES: Final = "files"
"""The key under which a line has the SHA-256 of each file that belongs to the record."""

Record = Mapping[str, Any]


class Journals:
    """Reads and writes the journals of all shards, for one worker. No records are kept in memory."""

    def __init__(self, workspace: Workspace, claims: ShardClaims, *, stage: str) -> None:
        self._workspace, self._claims, self._stage = workspace, claims, stage
        self._reported: set[str] = set()
        """The names of the journals whose damage has been reported to the user."""

    def name(self, shard: Shard) -> str:
        """Return the name of this worker's own journal of a shard."""
        return f"{shard.folder}{JOURNALS}{shard.name}/{self._claims.holder}.jsonl"

    def append(self, journal: Journal, record: Record, *names: str) -> None:
        """Write a record to a journal, together with the digests of the files that the record needs.

        ``names`` are the names of these files.
        """
        files = {name: file_sha256(self._workspace.folder / name) for name in names}
        journal.append({**record, FILES: files} if files else record)

    def load(self, shard: Shard) -> Iterator[Record]:
        """Yield the valid records of a shard from the journals of all workers.

        If a journal is damaged, print one message about it, and skip its damaged records.
        """
        own = self.name(shard)
        folder = f"{shard.folder}{JOURNALS}{shard.name}/"
        names = {name for name in self._claims.list_files(shard) if name.startswith(folder)}
        if self._path(own).exists():
            # The journal may be newer than the last listing.
            names.add(own)
        for name in sorted(names):
            # The folder contains this worker's own journal in full, while a saved copy may be older.
            if name == own or load_if_intact(self._workspace, name):
                yield from self._read(name)
            else:
                self._report(name, "the journal")

    def _read(self, name: str) -> Iterator[Record]:
        damaged: list[int] = []
        for record in read_journal(self._path(name), on_damaged=damaged.append):
            del record[CHECKSUM]
            lost = [file for file, digest in record.pop(FILES, {}).items() if not self._has(file, digest)]
            if lost:
                self._report(name, lost[0])
            else:
                yield record
        if damaged:
            self._report(name, f"line {damaged[0]}" + (f" and {len(damaged) - 1:,} more" * (len(damaged) > 1)))

    def _has(self, name: str, digest: str) -> bool:
        """Return whether a file has the SHA-256 ``digest``.

        A file that is only in the store is not read, and True is returned.
        """
        path = self._path(name)
        return file_sha256(path) == digest if path.is_file() else name in self._workspace.saved(name)

    def _path(self, name: str) -> Path:
        return self._workspace.folder / name

    def _report(self, journal_name: str, what: str) -> None:
        if journal_name not in self._reported:
            self._reported.add(journal_name)
            print_line(
                self._stage,
                f"{journal_name}: {what} is damaged or missing; the records that are lost are computed again",
            )
