"""The shards of a stage and who is at which, told by files in the workspace that all workers of the stage share.

A worker that takes a shard leaves a claim there, and shows that it lives by a beat every ten seconds. The claims of a
worker whose beat another has not seen change for 45 seconds, by that one's own clock, are void: its shards are free
again. Claims and beats are never deleted, and no clocks are compared. Two workers that claim a shard at once see each
other, and one lets go; where they do not, both do it, which costs time and changes no number.
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

BEAT_SECONDS: Final = 10.0
STALE_SECONDS: Final = 45.0
"""Some beats may be late: a store is waited for, a machine is busy."""

SCRATCH: Final = "scratch/"
_BEATS: Final = f"{SCRATCH}beats/"
_CLAIMS: Final = f"{SCRATCH}claims/"
_DONE: Final = f"{SCRATCH}done/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A part of a stage's work that one worker does. The shards are the same whatever the number of workers."""

    name: str
    tasks: Sequence[Any]
    """They may be made when they are asked for."""

    num_records: int
    """What the tasks leave in the journal, one record a piece of work."""


class _Beat(NamedTuple):
    """What this worker knows of another's beat."""

    version: str
    seen_at: float
    """When this version was first seen, by this worker's clock."""

    has_changed: bool
    """Whether the other has been seen alive, rather than only what it left."""


class Board:
    """Claims, as one worker sees them. Only ``beat`` and ``finish`` may be called by other threads."""

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
        self.life = f"{self._run}-{worker.index:04d}-{uuid4().hex[:8]}"
        """Names this process among all that were ever at this stage: run, index, and what tells attempts apart."""

        self._batches = [shards]
        self._num_beats = 0
        self._beats: dict[str, _Beat] = {}
        self._claims: dict[str, list[str]] = {}
        self._mine: set[str] = set()
        self.done: set[str] = set()
        """Names of the shards that are done, as far as is known."""

        self.names: Mapping[str, str] = {}
        """Of all files in scratch when it was looked at last."""

    def add(self, shards: Sequence[Shard]) -> None:
        """Have more shards to claim, after all that there were before."""
        self._batches.append(shards)

    @property
    def is_finished(self) -> bool:
        """Whether every shard is done."""
        return next(self._undone(), None) is None

    @property
    def is_in_good_hands(self) -> bool:
        """Whether every shard that is not done is at a worker that this one has seen alive."""
        return all(
            any(self._is_alive(life) and self._beats[life].has_changed for life in self._claims.get(shard.name, ()))
            for shard in self._undone()
        )

    def beat(self) -> None:
        """Show that this worker lives."""
        self._num_beats += 1
        self._write(f"{_BEATS}{self.life}", f"{self._num_beats}\n", writing="beat")

    def look(self) -> None:
        """See what others, and earlier attempts, have done and claimed."""
        now = self._clock()
        self.names = self._workspace.saved(SCRATCH)
        self.done |= {name.removeprefix(_DONE) for name in self.names if name.startswith(_DONE)}
        self._claims = {}
        for name, version in self.names.items():
            if name.startswith(_CLAIMS):
                shard, _, life = name.removeprefix(_CLAIMS).partition("/")
                self._claims.setdefault(shard, []).append(life)
            elif name.startswith(_BEATS):
                life = name.removeprefix(_BEATS)
                known = self._beats.get(life)
                if known is None or known.version != version:
                    self._beats[life] = _Beat(version, now, has_changed=known is not None)

    def claim(self) -> Shard | None:
        """Take the next shard that is free, or None if there is none now."""
        if self._worker.is_alone:
            return self._take(next(self._free(), None))
        self.look()
        for shard in self._free():
            self._write(f"{_CLAIMS}{shard.name}/{self.life}", "", writing="claim")
            self.look()
            if min([self.life, *self._rivals(shard)], key=_rank) == self.life:
                return self._take(shard)
            # The other goes on. Our claim stays: should the other be lost, the shard is ours when we come by again.
        return None

    def finish(self, shard: Shard) -> None:
        """Mark a shard as done, once its records are durable. One thread at a time may call this, and it may be any."""
        self._write(f"{_DONE}{shard.name}", "", writing="done")
        self.done.add(shard.name)

    def reopen(self, shard: Shard) -> None:
        """Remove the mark that a shard is done, so that it can be claimed again."""
        self._workspace.discard(f"{_DONE}{shard.name}")
        self.done.discard(shard.name)
        self._mine.discard(shard.name)

    def _undone(self) -> Iterator[Shard]:
        return (shard for batch in self._batches for shard in batch if shard.name not in self.done)

    def _free(self) -> Iterator[Shard]:
        for shard in self._in_own_order():
            if shard.name not in self.done and shard.name not in self._mine and not self._rivals(shard):
                yield shard

    def _in_own_order(self) -> Iterator[Shard]:
        """Yield one's own shards, every n-th, and then one worker's after the other, batch by batch."""
        num_workers = self._worker.num_workers
        for batch in self._batches:
            for step in range(num_workers):
                yield from batch[(self._worker.index + step) % num_workers :: num_workers]

    def _rivals(self, shard: Shard) -> list[str]:
        return (
            [] if self._worker.is_alone else [life for life in self._claims.get(shard.name, ()) if self._is_alive(life)]
        )

    def _is_alive(self, life: str) -> bool:
        run, index, _ = life.split("-")
        if run == self._run and (int(index) == self._worker.index or int(index) >= self._worker.num_workers):
            # Ourselves, or one whose place we took.
            return False
        beat = self._beats.get(life)
        return beat is not None and self._clock() - beat.seen_at <= self._stale_seconds

    def _take(self, shard: Shard | None) -> Shard | None:
        if shard:
            self._mine.add(shard.name)
        return shard

    def _write(self, name: str, text: str, *, writing: str) -> None:
        """Write a file that others see whole or not at all. Not synced: if a power cut loses it, work is repeated."""
        path, partial = self._workspace.folder / name, self._workspace.folder / f"{SCRATCH}{self.life}.{writing}"
        partial.write_text(text, encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)
        self._workspace.save(name, is_replaceable=True)


def _rank(life: str) -> tuple[str, str]:
    _, index, _ = life.split("-")
    return index, life


def load_if_intact(workspace: Workspace, name: str) -> bool:
    """Load a saved file into the folder; return False if it does not exist or the store finds it damaged."""
    try:
        return workspace.load(name)
    except ArtifactCorruptError:
        return False


def write_whole(workspace: Workspace, name: str, content: bytes, *, partial: str) -> None:
    """Write, sync and save a file that exists whole or not at all; until then it has the name ``partial``."""
    path = workspace.folder / name
    (workspace.folder / partial).write_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_whole(workspace.folder / partial, path)
    workspace.save(name)


def cut(tasks: Sequence[Any], *, num_records: Callable[[Any], int], max_shards: int, prefix: str = "") -> list[Shard]:
    """Return tasks in their order as at most ``max_shards`` shards of nearly equal numbers of tasks.

    A shard refers to its tasks as a slice: where ``tasks`` are made when they are asked for, so are those of a shard.

    Args:
        tasks: All of them.
        num_records: Of a slice of the tasks, how many records they leave.
        max_shards: At least 1.
        prefix: How their names begin, where others have the same numbers.
    """
    num_shards = min(max_shards, len(tasks))
    bounds = [len(tasks) * number // num_shards for number in range(num_shards + 1)]
    parts = [tasks[start:stop] for start, stop in pairwise(bounds)]
    return [
        Shard(name=f"{prefix}{number:04d}", tasks=part, num_records=num_records(part))
        for number, part in enumerate(parts)
    ]
