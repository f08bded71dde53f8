"""Claims on shards: files in the workspace that all workers of a stage share.

A worker that starts a shard writes a claim, and it writes a heartbeat every ten seconds. If another worker sees no
change of the heartbeat for 45 seconds by its own clock, the claims of the silent worker are void, and its shards are
free again. Claims and heartbeats are never deleted, and the clocks of two machines are never compared. If two workers
claim a shard at the same time, one of them gives way when it notices the other. If neither notices the other, both do
the shard, which costs time and changes no result.

Workers that begin together begin with different shards and, in a stage with sections, in different sections. A section
whose shards are all done has a mark, after which no worker lists it again.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import uuid4

from peerkd.artifacts.store import Workspace
from peerkd.launch.worker import Worker
from peerkd.stages.shards import SCRATCH, Shard, folder_of_section

HEARTBEAT_SECONDS: Final = 10.0
STALE_SECONDS: Final = 45.0
"""The time without a new heartbeat after which a worker counts as lost.

It is several times ``HEARTBEAT_SECONDS``, because a heartbeat may be late if the store or the machine is slow.
"""

_HEARTBEATS: Final = f"{SCRATCH}beats/"
CLAIMS: Final = "claims/"
DONE: Final = "done/"
_ENDED: Final = f"{SCRATCH}ended/"
"""The folder with an empty marker file for each section whose shards are all done."""

_OUTSIDE_OF_SECTIONS: Final = (_HEARTBEATS, _ENDED, f"{SCRATCH}extension")
"""The beginnings of the names of all files that workers share outside of sections."""

_LIST_SECONDS: Final = HEARTBEAT_SECONDS / 2
"""The maximum age of the list of the files outside of sections. An older list is requested again."""


class _Heartbeat(NamedTuple):
    """The last heartbeat of another worker that this worker has seen."""

    version: str
    seen_at: float
    """The time, by this worker's clock, at which this worker first saw ``version``."""

    has_changed: bool
    """Whether this worker has seen an earlier version too. If not, the other worker may have ended long ago."""


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

        self._batches: list[Sequence[Shard]] = []
        self._sections: dict[str, list[Shard]] = {}
        """The shards of each section."""

        self._section = ""
        """The section whose files are in ``file_names``."""

        self._outside: Mapping[str, str] = {}
        self._outside_listed_at = -math.inf
        """The time at which the files outside of sections were last listed. ``_outside`` has these files."""

        self._full_at: dict[str, float] = {}
        """The time at which each section was found to have no free shard."""

        self._ended: set[str] = set()
        """The sections whose shards are all done, as far as this worker knows."""
        self._num_heartbeats = 0
        self._heartbeats: dict[str, _Heartbeat] = {}
        self._claims: dict[str, list[str]] = {}
        self._own: set[str] = set()
        """The names of the shards that this process has claimed."""

        self.done: set[str] = set()
        """The names of the shards that are marked as done, as far as this worker knows."""

        self.file_names: Mapping[str, str] = {}
        """The version of each listed file of the workspace at the last refresh, by name.

        In a stage without sections, all files in the scratch folder are listed. In a stage with sections, the files of
        one section and the files outside of sections are listed.
        """

        self.add(shards)

    def add(self, shards: Sequence[Shard]) -> None:
        """Add shards. They are claimed after all shards that were added before."""
        self._batches.append(shards)
        for shard in shards:
            self._sections.setdefault(shard.section, []).append(shard)

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

    def refresh(self, section: str | None = None) -> None:
        """Read what other workers and earlier attempts have claimed and finished.

        Args:
            section: The section to read. None: the section that was read last.
        """
        now = self._clock()
        self._section = self._section if section is None else section
        self.file_names = self._list_files(now)
        folder = folder_of_section(self._section)
        claims: dict[str, list[str]] = {shard.name: [] for shard in self._sections.get(self._section, ())}
        for name, version in self.file_names.items():
            if name.startswith(folder + CLAIMS):
                shard, _, holder = name.removeprefix(folder + CLAIMS).partition("/")
                claims.setdefault(shard, []).append(holder)
            elif name.startswith(folder + DONE):
                self.done.add(name.removeprefix(folder + DONE))
            elif name.startswith(_HEARTBEATS):
                holder = name.removeprefix(_HEARTBEATS)
                known = self._heartbeats.get(holder)
                if known is None or known.version != version:
                    self._heartbeats[holder] = _Heartbeat(version, now, has_changed=known is not None)
            elif name.startswith(_ENDED):
                self._end(name.removeprefix(_ENDED))
        self._claims |= claims

    def _list_files(self, now: float) -> dict[str, str]:
        if not self._has_sections:
            return {**self._workspace.saved(SCRATCH)}
        folder = folder_of_section(self._section)
        found = self._workspace.saved(folder) if self._section else {}
        claims = [name.rpartition("/")[2] for name in found if name.startswith(folder + CLAIMS)]
        # A worker that has begun since the last list has a heartbeat that is not known here.
        is_unknown = not {*claims} <= {self.holder, *self._heartbeats}
        if is_unknown or now - self._outside_listed_at > _LIST_SECONDS:
            names = (self._workspace.saved(prefix) for prefix in _OUTSIDE_OF_SECTIONS)
            self._outside = {name: version for versions in names for name, version in versions.items()}
            self._outside_listed_at = now
        return {**self._outside, **found}

    def begin(self) -> None:
        """Read what this worker needs to know before it claims a shard.

        A worker that is alone reads every section, because nothing changes afterwards. One of many workers reads a
        section when it looks for a shard there.
        """
        for section in self._sections if self._worker.is_alone and self._sections else ("",):
            self.refresh(section)

    def list_files(self, shard: Shard) -> Mapping[str, str]:
        """Return ``file_names``, which then contains the files of a shard.

        If the section that was read last is not the section of the shard, the section of the shard is read first.
        """
        if shard.section != self._section:
            self.refresh(shard.section)
        return self.file_names

    def claim(self) -> Shard | None:
        """Claim the next free shard and return it, or None if no shard is free now."""
        if self._worker.is_alone:
            return self._keep(next(self._free(None), None))
        if self._has_sections and self._clock() - self._outside_listed_at > _LIST_SECONDS:
            self.refresh()
        for section in self._sections_in_order():
            self.refresh(section)
            if section in self._ended:
                continue
            for shard in self._free(section):
                self._write(f"{shard.folder}{CLAIMS}{shard.name}/{self.holder}", "", writing="claim")
                self.refresh(section)
                if min([self.holder, *self._live_rivals(shard)], key=_rank) == self.holder:
                    return self._keep(shard)
                # This worker gives way, and its claim stays. If the other worker is lost, a later call returns the
                # shard.
            self._full_at[section] = self._clock()
            self._mark_ended(section, writing="ended")
        return None

    def mark_done(self, shard: Shard) -> None:
        """Mark a shard as done, after its records are durable. Any thread may call this, one thread at a time."""
        self._write(f"{shard.folder}{DONE}{shard.name}", "", writing="done")
        self.done.add(shard.name)
        self._mark_ended(shard.section, writing="done")

    def reopen(self, shard: Shard) -> None:
        """Remove the mark that a shard is done, so that it can be claimed again."""
        ended = [f"{_ENDED}{shard.section}"] if shard.section else []
        self._workspace.discard(*ended, f"{shard.folder}{DONE}{shard.name}")
        self._ended.discard(shard.section)
        self._full_at.pop(shard.section, None)
        self.done.discard(shard.name)
        self._own.discard(shard.name)

    def _pending(self) -> Iterator[Shard]:
        return (shard for batch in self._batches for shard in batch if shard.name not in self.done)

    @property
    def _has_sections(self) -> bool:
        return any(self._sections)

    def _sections_in_order(self) -> list[str]:
        """Return the sections that may have a free shard, in the order in which this worker looks for one.

        The section that was read last comes first. A section that had no free shard is omitted for a while.
        """
        if not self._has_sections:
            return [""]
        now, names = self._clock(), list(self._sections)
        # As many workers begin in one section as in another one.
        num = min(self._worker.num_workers, len(names))
        ordered = [name for step in range(num) for name in names[(self._worker.index + step) % num :: num]]
        ordered.sort(key=lambda name: name != self._section)
        return [
            name
            for name in ordered
            if name not in self._ended and now - self._full_at.get(name, -math.inf) > HEARTBEAT_SECONDS
        ]

    def _mark_ended(self, section: str, *, writing: str) -> None:
        if section and section not in self._ended and all(each.name in self.done for each in self._sections[section]):
            self._write(f"{_ENDED}{section}", "", writing=writing)
            self._ended.add(section)

    def _end(self, section: str) -> None:
        if section not in self._ended:
            self._ended.add(section)
            self.done |= {shard.name for shard in self._sections.get(section, ())}

    def _free(self, section: str | None) -> Iterator[Shard]:
        """Yield the free shards of a section, or of all sections, in the order in which this worker claims them."""
        batches = [self._sections[section]] if section else self._batches
        for shard in self._in_order_of_preference(batches):
            if shard.name not in self.done and shard.name not in self._own and not self._live_rivals(shard):
                yield shard

    def _in_order_of_preference(self, batches: Sequence[Sequence[Shard]]) -> Iterator[Shard]:
        """Yield all shards in the order in which this worker claims them.

        With n workers, worker i begins with the shards i, i + n, i + 2 n and so on. It then continues with the shards
        i + 1, i + 1 + n and so on, with which worker i + 1 begins. So workers that begin together rarely claim the same
        shard.
        """
        num_workers = self._worker.num_workers
        for batch in batches:
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
