"""The shards of a stage, and claims on them: files in the workspace that all workers of the stage share.

A worker that starts a shard writes a claim, and it writes a heartbeat every ten seconds. If another worker sees no
change of the heartbeat for 45 seconds by its own clock, the claims of the silent worker are void, and its shards are
free again. Claims and heartbeats are never deleted, and the clocks of two machines are never compared. If two workers
claim a shard at the same time, one of them gives way when it notices the other. If neither notices the other, both do
the shard, which costs time and changes no result.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple
from uuid import uuid4

from peerkd.artifacts.store import Workspace
from peerkd.durable import replace_whole
from peerkd.errors import ArtifactCorruptError
from peerkd.launch.worker import Worker

HEARTBEAT_SECONDS: Final = 10.0
STALE_SECONDS: Final = 45.0
"""The time without a new heartbeat after which a worker counts as lost.

It is several times ``HEARTBEAT_SECONDS``, because a heartbeat may be late if the store or the machine is slow.
"""

SCRATCH: Final = "scratch/"
_HEARTBEATS: Final = f"{SCRATCH}beats/"
_CLAIMS: Final = f"{SCRATCH}claims/"
_DONE: Final = f"{SCRATCH}done/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A part of a stage's work that one worker does. Which shards exist does not depend on the number of workers."""

    name: str
    tasks: Sequence[Any]
    """The tasks of the shard. The sequence may be lazy, so that a task is created when it is indexed."""

    num_records: int
    """The number of records in the journals when all tasks are done."""


class _Heartbeat(NamedTuple):
    """The last heartbeat of another worker that this worker has seen."""

    version: str
    seen_at: float
    """The time, by this worker's clock, at which this worker first saw ``version``."""

    has_changed: bool
    """Whether this worker has seen an earlier version too. If not, the other worker may have ended long ago."""


def unfinished(tasks: Sequence[Any], finished: set[Any]) -> list[Any]:
    """Return the tasks that are not the identity of a record."""
    return [task for task in tasks if task not in finished]


class ShardClaims:
    """The claims on all shards of a stage, as one worker sees them.

    Threads other than the main one may call only ``send_heartbeat`` and ``mark_done``.
    """

    def __init__(
        self,
        workspace: Workspace,
        shards: Sequence[Shard],
        worker: Worker,
        *,
        clock: Callable[[], float] = time.monotonic,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._workspace, self._worker = workspace, worker
        self._clock, self._stale_seconds = clock, stale_seconds
        self._run = hashlib.sha256(worker.run_id.encode()).hexdigest()[:8]
        self.holder = f"{self._run}-{worker.index:04d}-{uuid4().hex[:8]}"
        """The name under which this process claims shards: its run, its index, and a suffix unique to the attempt."""

        self._batches = [shards]
        self._num_heartbeats = 0
        self._heartbeats: dict[str, _Heartbeat] = {}
        self._claims: dict[str, list[str]] = {}
        self._own: set[str] = set()
        """The names of the shards that this process has claimed."""

        self.done: set[str] = set()
        """The names of the shards that are marked as done, as far as this worker knows."""

        self.file_names: Mapping[str, str] = {}
        """The versions that all files in the scratch folder of the workspace had at the last refresh, by name."""

    def add(self, shards: Sequence[Shard]) -> None:
        """Add shards. They are claimed after all shards that were added before."""
        self._batches.append(shards)

    @property
    def is_finished(self) -> bool:
        """Whether every shard is done."""
        return next(self._pending(), None) is None

    @property
    def is_rest_claimed(self) -> bool:
        """Whether every unfinished shard is claimed by a worker whose heartbeat this worker has seen change."""
        return all(
            any(
                self._is_alive(holder) and self._heartbeats[holder].has_changed
                for holder in self._claims.get(shard.name, ())
            )
            for shard in self._pending()
        )

    def send_heartbeat(self) -> None:
        """Show the other workers that this one is alive."""
        self._num_heartbeats += 1
        self._write(f"{_HEARTBEATS}{self.holder}", f"{self._num_heartbeats}\n", writing="beat")

    def refresh(self) -> None:
        """Read what other workers and earlier attempts have claimed and finished."""
        now = self._clock()
        self.file_names = self._workspace.saved(SCRATCH)
        self.done |= {name.removeprefix(_DONE) for name in self.file_names if name.startswith(_DONE)}
        self._claims = {}
        for name, version in self.file_names.items():
            if name.startswith(_CLAIMS):
                shard, _, holder = name.removeprefix(_CLAIMS).partition("/")
                self._claims.setdefault(shard, []).append(holder)
            elif name.startswith(_HEARTBEATS):
                holder = name.removeprefix(_HEARTBEATS)
                known = self._heartbeats.get(holder)
                if known is None or known.version != version:
                    self._heartbeats[holder] = _Heartbeat(version, now, has_changed=known is not None)

    def claim(self) -> Shard | None:
        """Claim the next free shard and return it, or None if no shard is free now."""
        if self._worker.is_alone:
            return self._keep(next(self._free(), None))
        self.refresh()
        for shard in self._free():
            self._write(f"{_CLAIMS}{shard.name}/{self.holder}", "", writing="claim")
            self.refresh()
            if min([self.holder, *self._live_rivals(shard)], key=_rank) == self.holder:
                return self._keep(shard)
            # This worker gives way, and its claim stays. If the other worker is lost, a later call returns the shard.
        return None

    def mark_done(self, shard: Shard) -> None:
        """Mark a shard as done, after its records are durable. Any thread may call this, one thread at a time."""
        self._write(f"{_DONE}{shard.name}", "", writing="done")
        self.done.add(shard.name)

    def reopen(self, shard: Shard) -> None:
        """Remove the mark that a shard is done, so that it can be claimed again."""
        self._workspace.discard(f"{_DONE}{shard.name}")
        self.done.discard(shard.name)
        self._own.discard(shard.name)

    def _pending(self) -> Iterator[Shard]:
        return (shard for batch in self._batches for shard in batch if shard.name not in self.done)

    def _free(self) -> Iterator[Shard]:
        for shard in self._in_order_of_preference():
            if shard.name not in self.done and shard.name not in self._own and not self._live_rivals(shard):
                yield shard

    def _in_order_of_preference(self) -> Iterator[Shard]:
        """Yield all shards in the order in which this worker claims them.

        With n workers, worker i begins with the shards i, i + n, i + 2 n and so on. It then continues with the shards
        i + 1, i + 1 + n and so on, with which worker i + 1 begins. So workers that begin together rarely claim the same
        shard.
        """
        num_workers = self._worker.num_workers
        for batch in self._batches:
            for step in range(num_workers):
                yield from batch[(self._worker.index + step) % num_workers :: num_workers]

    def _live_rivals(self, shard: Shard) -> list[str]:
        if self._worker.is_alone:
            return []
        return [holder for holder in self._claims.get(shard.name, ()) if self._is_alive(holder)]

    def _is_alive(self, holder: str) -> bool:
        run, index, _ = holder.split("-")
        if run == self._run and (int(index) == self._worker.index or int(index) >= self._worker.num_workers):
            # The claim is that of an earlier attempt of this worker, or of a worker that no longer exists.
            return False
        heartbeat = self._heartbeats.get(holder)
        return heartbeat is not None and self._clock() - heartbeat.seen_at <= self._stale_seconds

    def _keep(self, shard: Shard | None) -> Shard | None:
        if shard:
            self._own.add(shard.name)
        return shard

    def _write(self, name: str, text: str, *, writing: str) -> None:
        """Write a file that other workers see complete or not at all.

        The file is not synced to the disk. If it is lost in a power cut, some work is repeated.
        """
        path, partial = self._workspace.folder / name, self._workspace.folder / f"{SCRATCH}{self.holder}.{writing}"
        partial.write_text(text, encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)
        self._workspace.save(name, is_replaceable=True)


def _rank(holder: str) -> tuple[str, str]:
    _, index, _ = holder.split("-")
    return index, holder


def load_if_intact(workspace: Workspace, name: str) -> bool:
    """Load a saved file into the folder of a workspace; return False if it does not exist or is damaged."""
    try:
        return workspace.load(name)
    except ArtifactCorruptError:
        return False


def write_whole(workspace: Workspace, name: str, content: bytes, *, partial: str) -> None:
    """Write a file to the folder of a workspace, sync it and save it.

    Until it is complete, the file has the name ``partial``, so other workers see it complete or not at all.
    """
    path = workspace.folder / name
    (workspace.folder / partial).write_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_whole(workspace.folder / partial, path)
    workspace.save(name)


def split_into_shards(
    tasks: Sequence[Any], *, num_records: Callable[[Any], int], max_shards: int, prefix: str = ""
) -> list[Shard]:
    """Split tasks into at most ``max_shards`` contiguous shards with nearly equal numbers of tasks.

    Each shard contains a slice of ``tasks``, so a sequence that creates its tasks when it is indexed stays lazy.

    Args:
        tasks: All tasks, in their order.
        num_records: A function of a slice of the tasks, which returns how many records these tasks will have.
        max_shards: The maximum number of shards, at least 1.
        prefix: The beginning of the names of the shards. A stage that splits tasks several times needs a different
            prefix each time.
    """
    num_shards = min(max_shards, len(tasks))
    bounds = [len(tasks) * number // num_shards for number in range(num_shards + 1)]
    parts = [tasks[start:stop] for start, stop in pairwise(bounds)]
    return [
        Shard(name=f"{prefix}{number:04d}", tasks=part, num_records=num_records(part))
        for number, part in enumerate(parts)
    ]
