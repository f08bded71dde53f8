"""One worker's part of a stage: it takes shards as its processes need work, and keeps what they do.

The records of a shard are in journals in the workspace, one for each worker that ever held it. A journal is saved every
second or two, and the checkpoint of a training in progress twice a minute. So whoever takes over a shard goes on from
the last of these, here or on another machine.

What an earlier attempt left is verified, not trusted: see ``peerkd.stages.journals`` and ``peerkd.stages.checkpoints``.
What is missing or damaged is done again, even in a shard that was marked as done.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts.store import Workspace
from peerkd.errors import ArtifactCorruptError, PeerKDError
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import say
from peerkd.results.journal import Journal, open_journal
from peerkd.stages.checkpoints import Checkpoint, live_checkpoint
from peerkd.stages.journals import Journals, Record
from peerkd.stages.shards import BEAT_SECONDS, Board, Shard

_SAVE_SECONDS: Final = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The work of a stage."""

    stage: str
    """Name of the stage."""

    shards: Sequence[Shard]

    identity: Callable[[Record], Hashable]
    """Returns what identifies a record among all of the stage."""

    left: Callable[[Sequence[Any], set[Any]], Iterable[Any]]
    """Returns what remains of a shard's tasks, given the identities of the records that exist."""

    found: Callable[[int], None]
    """Called with the number of records that existed before; a negative number takes back records found damaged."""

    followed: Callable[[int], None]
    """Called with the number of records that other workers have made meanwhile."""

    grow: Callable[["Sharing"], bool] | None = None
    """Adds the shards that have become known when this worker looks for work; returns whether more may come later.
    None: no shards are ever added."""


class Held:
    """A shard that this worker has claimed."""

    def __init__(
        self, shard: Shard, journal: Journal, close: Callable[[], None], *, journal_name: str, checkpoint: Checkpoint
    ) -> None:
        self.shard, self.journal, self.close = shard, journal, close
        self.journal_name, self.checkpoint = journal_name, checkpoint
        self.tasks: Iterable[Any] = ()
        """The tasks that were left when the shard was claimed."""

        self.num_records = 0
        """The number of records of the shard so far, whoever made them. The records are in journals."""

        self.is_saved = True


class Sharing:
    """The shards that this worker holds. It keeps no records, however many there are. Made by ``share``."""

    def __init__(
        self,
        workspace: Workspace,
        board: Board,
        worker: Worker,
        work: Work,
        *,
        is_published: Callable[[], bool],
    ) -> None:
        self._workspace, self._board, self._worker, self._work = workspace, board, worker, work
        self._journals = Journals(workspace, board, stage=work.stage)
        self._shards = {shard.name: shard for shard in work.shards}
        self._is_published = is_published
        self._held: dict[str, Held] = {}
        self._finished: list[Held] = []
        """Shards whose last record is written. They are marked as done once that record is durable."""

        self._settling = threading.Lock()
        self._complete: set[str] = set()
        """Names of shards that are known to have all their records: these were counted, or made here."""

        self._told: set[str] = set()
        self._waits = False
        self._failure: Exception | None = None

    def tasks(self) -> Iterator[tuple[Held, Any] | None]:
        """Yield the next task of this worker with its shard, or None if there is none at the moment.

        For the leading worker it ends when every shard is done, for another one when other live workers hold all that
        is left.
        """
        while True:
            self._check()
            if not self._worker.is_alone and self._is_published():
                return
            may_grow = self._work.grow is not None and self._work.grow(self)
            held = self._take()
            if held:
                yield from ((held, task) for task in held.tasks)
                continue
            if not self._held:
                self._settle()
            if not may_grow and self._is_over():
                others = [shard for name, shard in self._shards.items() if name not in self._held]
                if not self._worker.leads or self.is_done(others):
                    break
            self._wait(not self._held)
            yield None
        self._wait(False)

    @property
    def names(self) -> Collection[str]:
        """Names of all files in scratch when it was looked at last."""
        return self._board.names.keys()

    def add(self, shards: Sequence[Shard]) -> None:
        """Have more shards, of other names than all before."""
        self._board.add(shards)
        self._shards |= {shard.name: shard for shard in shards}
        self._tell_of_earlier(shard.name for shard in shards)

    def is_done(self, shards: Iterable[Shard]) -> bool:
        """Return whether all of these are done, as far as is known. One that lacks records is reopened."""
        lacking = [shard for shard in shards if not self._has_all_records(shard)]
        return not lacking

    def append(self, held: Held, record: Record, *names: str, replaceable: Iterable[str] = ()) -> None:
        """Keep a record, after the files that it names; with the last record of a shard, the shard is done.

        Args:
            held: The shard.
            record: Any but the keys ``checksum`` and ``files``.
            names: Files without which the record is worth nothing.
            replaceable: Files that the work can do without.
        """
        self._check()
        self._workspace.save(*replaceable, is_replaceable=True)
        self._workspace.save(*names)
        self._journals.append(held.journal, record, *names)
        held.is_saved = False
        held.num_records += 1
        if held.num_records == held.shard.num_records:
            self._finish(held)

    def records(self, shards: Iterable[Shard] | None = None) -> Iterator[Record]:
        """Yield the records of shards that are done from their journals; two of one identity count as one.

        Args:
            shards: Those to look at. None: all.

        Raises:
            ArtifactCorruptError: If some have gone missing; it is raised after the records of their shard that exist.
        """
        if not self._worker.is_alone:
            self._board.look()
        for shard in list(self._shards.values()) if shards is None else shards:
            seen: set[Hashable] = set()
            for record in self._journals.load(shard):
                identity = self._work.identity(record)
                if identity not in seen:
                    seen.add(identity)
                    yield record
            if len(seen) != shard.num_records:
                raise ArtifactCorruptError(
                    f"The journals of part {shard.name} of {self._work.stage} must have {shard.num_records} records, "
                    f"got {len(seen)}: run the same command again to do the rest."
                )

    def checkpoint(self, shard: str) -> Path:
        """Return the file that the work at a shard may go on from. Written here, it is saved now and then."""
        return live_checkpoint(self._workspace, shard)

    def begin(self) -> None:
        """Look at what was done before."""
        self._board.look()
        self._tell_of_earlier(self._shards)

    def save(self, *, everything: bool = False) -> None:
        """Save the journals, and the checkpoints that are due, or all of them if ``everything`` is set."""
        for held in list(self._held.values()):
            if not held.is_saved:
                held.is_saved = True
                self._workspace.save(held.journal_name)
                recorder.checkpoint_saved()
            held.checkpoint.save(now=everything)
        self._settle()

    def keep_doing(self, work: Callable[[], None], *, every_seconds: float, until: threading.Event) -> threading.Thread:
        """Repeat ``work`` in a thread. If it fails, the error is raised when the worker next asks for a task."""

        def repeat() -> None:
            try:
                while not until.wait(every_seconds):
                    work()
            except Exception as error:
                self._failure = error

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Close all journals."""
        for held in self._held.values():
            held.close()

    def _is_over(self) -> bool:
        if self._worker.is_alone or self._board.is_finished:
            return True
        return not self._worker.leads and not self._held and self._board.is_in_good_hands

    def _take(self) -> Held | None:
        while shard := self._board.claim():
            self._tell_of_others()
            held = self._open(shard)
            if held.num_records < shard.num_records:
                self._held[shard.name] = held
                self._wait(False)
                return held
            # All records were saved, but the shard was not marked as done.
            self._finish(held)
        self._tell_of_others()
        return None

    def _open(self, shard: Shard) -> Held:
        known = {self._work.identity(record) for record in self._journals.load(shard)}
        name = self._journals.name(shard)
        path = self._workspace.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stack = ExitStack()
        journal, checkpoint = stack.enter_context(open_journal(path)), Checkpoint(self._workspace, shard.name)
        held = Held(shard, journal, stack.close, journal_name=name, checkpoint=checkpoint)
        held.num_records = len(known)
        held.tasks = self._work.left(shard.tasks, known)
        self._told.add(shard.name)
        self._work.found(len(known))
        checkpoint.find(self._board, stage=self._work.stage)
        return held

    def _has_all_records(self, shard: Shard) -> bool:
        """Return whether a shard is done and has all its records; reopen it if it is marked as done and lacks some."""
        if shard.name in self._complete:
            return True
        if shard.name not in self._board.done:
            return False
        num_records = self._count(shard)
        if num_records < shard.num_records:
            # The listing may be older than the last journal.
            self._board.look()
            num_records = self._count(shard)
        if num_records >= shard.num_records:
            self._complete.add(shard.name)
            return True
        missing = shard.num_records - num_records
        say(
            self._work.stage, f"part {shard.name} was marked as done but lacks {missing:,} records: they are made again"
        )
        self._board.reopen(shard)
        if shard.name in self._told:
            self._told.remove(shard.name)
            self._work.found(-shard.num_records)
        return False

    def _count(self, shard: Shard) -> int:
        return len({self._work.identity(record) for record in self._journals.load(shard)})

    def _finish(self, held: Held) -> None:
        held.close()
        self._complete.add(held.shard.name)
        self._finished.append(held)
        self._held.pop(held.shard.name, None)

    def _settle(self) -> None:
        """Mark finished shards as done, after their journals are durable."""
        with self._settling:
            finished = list(self._finished)
            for held in finished:
                if held.journal.num_records:
                    self._workspace.save(held.journal_name)
            for held in finished:
                self._board.finish(held.shard)
                held.checkpoint.delete()
            del self._finished[: len(finished)]

    def _tell_of_earlier(self, names: Iterable[str]) -> None:
        for name in self._board.done.intersection(names):
            self._told.add(name)
            self._work.found(self._shards[name].num_records)

    def _tell_of_others(self) -> None:
        # Others may be at shards that have not been added here.
        for name in self._board.done & self._shards.keys() - self._told - self._held.keys():
            self._told.add(name)
            self._work.followed(self._shards[name].num_records)

    def _wait(self, whether: bool) -> None:
        if whether != self._waits:
            self._waits = whether
            recorder.waiting(whether)
            if whether:
                say(self._work.stage, "waiting for other workers")

    def _check(self) -> None:
        if self._failure:
            raise self._failure


@contextmanager
def share(workspace: Workspace, work: Work, worker: Worker, *, is_published: Callable[[], bool]) -> Iterator[Sharing]:
    """Take part in a stage's work. On leaving, also by an exception, what is not yet saved is saved.

    Args:
        workspace: The workspace of the artifact that all workers of the stage make.
        work: The work of the stage.
        worker: This worker.
        is_published: Returns whether some worker has published the artifact.
    """
    board = Board(workspace, work.shards, worker)
    sharing = Sharing(workspace, board, worker, work, is_published=is_published)
    if not worker.is_alone:
        board.beat()
    sharing.begin()
    leaving = threading.Event()
    threads = [sharing.keep_doing(sharing.save, every_seconds=_SAVE_SECONDS, until=leaving)]
    if not worker.is_alone:
        threads.append(sharing.keep_doing(board.beat, every_seconds=BEAT_SECONDS, until=leaving))
    try:
        yield sharing
    finally:
        leaving.set()
        for thread in threads:
            thread.join()
        # What cannot be saved now is done again later. A failure here must not hide the exception that ends the work.
        with suppress(PeerKDError, OSError):
            sharing.save(everything=True)
        with suppress(OSError):
            sharing.close()
