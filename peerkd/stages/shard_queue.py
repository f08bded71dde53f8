"""One worker's part of a stage: it claims shards when its processes need work, and records the results.

The records of a shard are in journals in the workspace, one for each worker that ever claimed the shard. A journal is
saved every second or two, and the checkpoint of a training in progress twice a minute. A worker that takes over a shard
continues from the last saved state, on this machine or another one.

Records and checkpoints of earlier attempts are verified before they are used. Results that are missing or damaged are
computed again, even if their shard was marked as done.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peerkd.artifacts.store import Workspace
from peerkd.errors import PeerKDError
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import print_line
from peerkd.results.journal import open_journal
from peerkd.stages.checkpoints import ShardCheckpoint, live_checkpoint
from peerkd.stages.claimed_shard import ClaimedShard
from peerkd.stages.finished_shards import FinishedShards
from peerkd.stages.journals import Journals, Record
from peerkd.stages.shard_claims import HEARTBEAT_SECONDS, ShardClaims
from peerkd.stages.shards import SAVE_SECONDS, Shard, unfinished


@dataclass(frozen=True, kw_only=True, slots=True)
class StageWork:
    """The description of a stage's work, which is the same for all workers of the stage."""

    stage: str
    """The name of the stage, for progress lines."""

    shards: Sequence[Shard]

    identity: Callable[[Record], Hashable]
    """A function that returns the identity of a record. Two records with the same identity are copies of each other."""

    remaining: Callable[[Sequence[Any], set[Any]], Iterable[Any]] = unfinished
    """A function that returns the unfinished tasks of a shard, given its tasks and the identities of its records. By
    default, each task has one record, and the task itself is the identity of this record."""

    on_recovered: Callable[[int], None]
    """A callback that receives the number of records that earlier attempts have left and that need not be computed
    again.

    If records of a shard turn out to be damaged or missing after the shard was counted, the callback receives a
    negative number, which cancels the count.
    """

    on_done_elsewhere: Callable[[int], None]
    """A callback that receives the number of new records that other workers have written."""

    add_shards: Callable[["ShardQueue"], bool] | None = None
    """A function that is called when this worker needs work. It adds new shards to the queue, and returns whether more
    shards may follow. None means that all shards are known from the start."""


class ShardQueue:
    """Claims shards for one worker, hands out their tasks, and stores the records of the tasks.

    The queue keeps no records in memory, however many there are. Use ``open_shard_queue`` to create one.
    """

    def __init__(
        self,
        workspace: Workspace,
        claims: ShardClaims,
        worker: Worker,
        work: StageWork,
        *,
        is_published: Callable[[], bool],
    ) -> None:
        self._workspace, self._claims, self._worker, self._work = workspace, claims, worker, work
        self._journals = Journals(workspace, claims, stage=work.stage)
        self.finished = FinishedShards(
            claims,
            self._journals,
            stage=work.stage,
            identity=work.identity,
            on_recovered=work.on_recovered,
            on_done_elsewhere=work.on_done_elsewhere,
        )
        """The shards that are done."""

        self._shards = {shard.name: shard for shard in work.shards}
        self._is_published = is_published
        self._claimed: dict[str, ClaimedShard] = {}
        self._to_mark: list[ClaimedShard] = []
        """The shards whose last record this worker has written. They are marked as done once the record is durable."""

        self._marking = threading.Lock()
        self._is_waiting = False
        self._failure: Exception | None = None

    def tasks(self) -> Iterator[tuple[ClaimedShard, Any] | None]:
        """Yield each task of this worker with its shard, and None whenever no shard is free at the moment.

        In the first worker, the iterator ends when every shard is done. In any other worker, it ends when all remaining
        shards are claimed by other live workers.
        """
        while True:
            self._raise_failure()
            if not self._worker.is_alone and self._is_published():
                return
            may_grow = self._work.add_shards is not None and self._work.add_shards(self)
            claimed = self._claim()
            if claimed:
                yield from ((claimed, task) for task in claimed.tasks)
                continue
            if not self._claimed:
                self._mark_finished()
            if not may_grow and self._is_over():
                others = [shard for name, shard in self._shards.items() if name not in self._claimed]
                if not self._worker.is_first or self.is_done(others):
                    break
            self._set_waiting(not self._claimed)
            yield None
        self._set_waiting(False)

    @property
    def file_names(self) -> Collection[str]:
        """The names of all files that were saved in the scratch folder of the workspace at the last refresh."""
        return self._claims.file_names.keys()

    def add(self, shards: Sequence[Shard]) -> None:
        """Add shards to the queue. Their names must differ from those of all earlier shards."""
        named = {shard.name: shard for shard in shards}
        self._claims.add(shards)
        self._shards |= named
        self.finished.report_recovered(named)

    def is_done(self, shards: Iterable[Shard]) -> bool:
        """Return whether all given shards are done and have all their records.

        A shard that is marked as done although records are missing is reopened, so that it can be claimed again.
        """
        return not [shard for shard in shards if not self.finished.has(shard)]

    def refresh(self) -> None:
        """Read what other workers have claimed, finished and deleted. A worker that is alone has nothing to read."""
        if not self._worker.is_alone:
            self._claims.refresh()

    def give_up(self, claimed: ClaimedShard) -> None:
        """End the work on a shard that this worker has claimed, and that has been superseded meanwhile."""
        claimed.close()
        self._claimed.pop(claimed.shard.name, None)

    def add_record(self, claimed: ClaimedShard, record: Record, *names: str, replaceable: Iterable[str] = ()) -> None:
        """Save the files of a record, then the record. The last record of a shard finishes the shard.

        Args:
            claimed: The shard.
            record: The record, without the keys ``checksum`` and ``files``.
            names: The names of files without which the record is useless.
            replaceable: The names of further files, which may be lost because they can be computed again.
        """
        self._raise_failure()
        self._workspace.save(*replaceable, is_replaceable=True)
        self._workspace.save(*names)
        self._journals.append(claimed.journal, record, *names)
        claimed.is_saved = False
        claimed.num_records += 1
        if claimed.num_records == claimed.shard.num_records:
            self._finish(claimed)

    def records(self, shards: Iterable[Shard] | None = None) -> Iterator[Record]:
        """Yield the records of finished shards from their journals. Of several copies of a record, one is yielded.

        Args:
            shards: The shards to read. None means all shards.

        Raises:
            ArtifactCorruptError: If records of a shard are missing. The records that exist are yielded first.
        """
        self.refresh()
        yield from self.finished.records([*self._shards.values()] if shards is None else shards)

    def checkpoint(self, shard: str) -> Path:
        """Return the path of the checkpoint that the training of a shard writes and resumes from.

        The queue saves the file periodically.
        """
        return live_checkpoint(self._workspace, shard)

    def begin(self) -> None:
        """Read the state of all shards, and report the number of records of earlier attempts."""
        self._claims.begin()
        self.finished.report_recovered(self._shards)

    def save(self, *, everything: bool = False) -> None:
        """Save the journals that have new records, and the checkpoints of trainings in progress.

        A checkpoint that was saved less than 30 s ago is omitted, unless ``everything`` is set.
        """
        for claimed in list(self._claimed.values()):
            if not claimed.is_saved:
                claimed.is_saved = True
                self._workspace.save(claimed.journal_name)
                recorder.checkpoint_saved()
            claimed.checkpoint.save(now=everything)
        self._mark_finished()

    def start_repeating(
        self, work: Callable[[], None], *, every_seconds: float, until: threading.Event
    ) -> threading.Thread:
        """Call ``work`` every few seconds in a new thread until an event is set, and return the thread.

        If ``work`` fails, ``tasks`` raises the error when the next task is requested.
        """

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
        for claimed in self._claimed.values():
            claimed.close()

    def _is_over(self) -> bool:
        if self._worker.is_alone or self._claims.is_finished:
            return True
        return not self._worker.is_first and not self._claimed and self._claims.is_rest_claimed

    def _claim(self) -> ClaimedShard | None:
        while shard := self._claims.claim():
            self.finished.report_done_elsewhere(self._shards)
            claimed = self._open(shard)
            if claimed.num_records < shard.num_records:
                self._claimed[shard.name] = claimed
                self._set_waiting(False)
                return claimed
            # An earlier attempt saved all records, but did not mark the shard as done.
            self._finish(claimed)
        self.finished.report_done_elsewhere(self._shards)
        return None

    def _open(self, shard: Shard) -> ClaimedShard:
        known = {self._work.identity(record) for record in self._journals.load(shard)}
        name = self._journals.name(shard)
        path = self._workspace.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stack = ExitStack()
        journal, checkpoint = stack.enter_context(open_journal(path)), ShardCheckpoint(self._workspace, shard.name)
        claimed = ClaimedShard(shard, journal, stack.close, journal_name=name, checkpoint=checkpoint)
        claimed.num_records = len(known)
        claimed.tasks = self._work.remaining(shard.tasks, known)
        self.finished.report_claimed(shard, len(known))
        checkpoint.restore(self._claims, stage=self._work.stage)
        return claimed

    def _finish(self, claimed: ClaimedShard) -> None:
        claimed.close()
        self.finished.complete(claimed.shard)
        self._to_mark.append(claimed)
        self._claimed.pop(claimed.shard.name, None)

    def _mark_finished(self) -> None:
        """Make the journals of finished shards durable, then mark these shards as done."""
        with self._marking:
            finished = list(self._to_mark)
            for claimed in finished:
                if claimed.journal.num_records:
                    # The journals of old rounds are deleted when a worker has finished later rounds.
                    with suppress(FileNotFoundError):
                        self._workspace.save(claimed.journal_name)
            for claimed in finished:
                self._claims.mark_done(claimed.shard)
                claimed.checkpoint.delete()
            del self._to_mark[: len(finished)]

    def _set_waiting(self, is_waiting: bool) -> None:
        if is_waiting != self._is_waiting:
            self._is_waiting = is_waiting
            recorder.waiting(is_waiting)
            if is_waiting:
                print_line(self._work.stage, "waiting for other workers")

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure


@contextmanager
def open_shard_queue(
    workspace: Workspace, work: StageWork, worker: Worker, *, is_published: Callable[[], bool]
) -> Iterator[ShardQueue]:
    """Open this worker's queue for the ``with`` block, and save everything at the end of the block.

    Args:
        workspace: The workspace of the artifact, the same for all workers of the stage.
        work: The work of the stage.
        worker: This worker.
        is_published: A function that returns whether a worker has published the artifact.
    """
    claims = ShardClaims(workspace, work.shards, worker)
    queue = ShardQueue(workspace, claims, worker, work, is_published=is_published)
    if not worker.is_alone:
        claims.send_heartbeat()
    queue.begin()
    leaving = threading.Event()
    threads = [queue.start_repeating(queue.save, every_seconds=SAVE_SECONDS, until=leaving)]
    if not worker.is_alone:
        threads.append(queue.start_repeating(claims.send_heartbeat, every_seconds=HEARTBEAT_SECONDS, until=leaving))
    try:
        yield queue
    finally:
        leaving.set()
        for thread in threads:
            thread.join()
        # Records that cannot be saved now are computed again later. A failure here must not hide the exception that
        # ends the work.
        with suppress(PeerKDError, OSError):
            queue.save(everything=True)
        with suppress(OSError):
            queue.close()
