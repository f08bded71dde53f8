"""Rounds whose peers several workers share: the shards of each round, and the barriers between them.

A shard is one phase of a round for the peers of one part. A worker adds the shards of the next phase when all shards of
this one are done, whoever did them: this is the barrier, and the store is all that the workers share. If a worker is
lost, its claims become void as in every stage, and others do its shards.

The files of the last two finished rounds are kept, so a worker that starts again continues after the last one. If one
of its files is damaged, the worker continues after the round before. All that belongs to earlier rounds is deleted, so
a worker that was away must find out that others went on before it misses a file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from peerkd.artifacts.store import Workspace
from peerkd.config.architectures import network_modules
from peerkd.errors import ArtifactCorruptError
from peerkd.launch.worker import Worker
from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress, print_line
from peerkd.rounds import ROUND_METHODS
from peerkd.stages.claimed_shard import ClaimedShard
from peerkd.stages.collaborate_peers import NAME
from peerkd.stages.journals import Record
from peerkd.stages.shard_files import files_of_shards
from peerkd.stages.shard_queue import ShardQueue, StageWork
from peerkd.stages.shards import SCRATCH, Shard, load_if_intact
from peerkd.stages.work.collaborating.histories import check_complete, mean_accuracy
from peerkd.training.inputs import RoundsInputs
from peerkd.training.process_pool import run_in_processes
from peerkd.training.round_parts import ROUNDS_FOLDER, InputsMissing, PartDone, PartTask
from peerkd.training.seals import is_intact

_START: Final = "peerkd.training.rounds.parts:start"
_FOLDER: Final = f"{SCRATCH}{ROUNDS_FOLDER}/"
_NUM_KEPT_ROUNDS: Final = 2


@dataclass
class _Method:
    """The rounds of one method, as far as this worker knows them."""

    name: str
    number: int = 0
    """The number of the round whose shards are in the queue; 0 before the first look."""

    phase: int = 0
    shards: list[Shard] = field(default_factory=list)
    """The shards of the phase."""

    is_over: bool = False


class RoundsInParts:
    """The rounds of all methods, as one worker knows them."""

    def __init__(self, inputs: RoundsInputs, workspace: Workspace, worker: Worker) -> None:
        self._inputs, self._workspace, self._worker = inputs, workspace, worker
        self._num_rounds, self._num_parts = inputs.config.rounds.num_rounds, len(inputs.parts)
        self._methods = [_Method(name) for name in inputs.config.rounds.methods]
        self._progress = Progress(NAME, unit="parts", total=len(self._methods) * self._num_rounds * self._num_parts)
        inputs.rounds_folder.mkdir(parents=True, exist_ok=True)
        self.stage_work = StageWork(
            stage=NAME,
            shards=(),
            identity=PartTask.of_record,
            on_recovered=self._progress.recover,
            on_done_elsewhere=self._progress.follow,
            add_shards=self._add_shards,
        )

    def collaborate(self, queue: ShardQueue, *, num_processes: int) -> None:
        """Do this worker's parts of all rounds."""
        for claimed, done in run_in_processes(
            _START,
            (self._inputs,),
            queue.tasks(),
            num_processes=min(num_processes, len(self._methods) * self._num_parts),
            preload=network_modules(self._inputs.config.architectures),
        ):
            self.record(queue, claimed, done)

    def record(self, queue: ShardQueue, claimed: ClaimedShard, done: PartDone | InputsMissing) -> None:
        """Save what a task has given.

        Raises:
            ArtifactCorruptError: If the task lacked files, although its round is not over.
        """
        if isinstance(done, InputsMissing):
            self._give_up(queue, claimed, done.task)
            return
        names = [_FOLDER + name for name in done.file_names]
        try:
            queue.add_record(claimed, done.record, *names, *(self._inputs.network(peer).name for peer in done.networks))
        except FileNotFoundError:
            self._give_up(queue, claimed, PartTask.of_record(done.record))
            return
        self._progress.advance()
        recorder.samples(done.num_samples)
        recorder.gpu_memory(used_bytes=done.gpu_bytes[0], peak_bytes=done.gpu_bytes[1])

    def records(self, queue: ShardQueue) -> dict[str, Record]:
        """Return the record of each method, when all shards are done."""
        found: dict[str, Record] = {}
        for method in self._methods:
            rows = [row for record in queue.records(method.shards) for row in record["history"]]
            history = sorted(rows, key=lambda row: (row["round"], row["peer"]))
            check_complete(history, method=method.name, peers=self._inputs.finite_peers, num_rounds=self._num_rounds)
            found[method.name] = {"method": method.name, "history": history}
            reached = mean_accuracy(history, self._num_rounds)
            print_line(NAME, f"{ROUND_METHODS[method.name].title}: mean test accuracy {reached:.1%}")
        return found

    def _add_shards(self, queue: ShardQueue) -> bool:
        """Add the shards of every phase that can begin; return whether more may follow."""
        queue.refresh()
        for method in self._methods:
            while not method.is_over and self._advance(method, queue):
                pass
        return not all(method.is_over for method in self._methods)

    def _advance(self, method: _Method, queue: ShardQueue) -> bool:
        """Go on to the next phase of a method, or to a later round; return whether this was possible."""
        if not method.number:
            finished = self._last_finished_round(method, queue)
            self._progress.recover(finished * self._num_parts)
            self._begin(method, finished + 1, 0, queue)
            return True
        # This comes first: if others have finished later rounds, the files of this round may have been deleted.
        if self._catch_up(method, queue, least=method.number + 1):
            return True
        if not queue.finished.are_marked(method.shards):
            return False
        records = queue.finished.load(method.shards)
        if records is None or not all(map(self._load, map(_file_of, records))):
            queue.refresh()
            if self._catch_up(method, queue, least=method.number + 1):
                return True
            self._reopen_damaged(method, records or (), queue)
            return False
        if not all(record["is_last"] for record in records):
            self._progress.expect(self._num_parts)
            self._begin(method, method.number, method.phase + 1, queue)
            return True
        if self._worker.is_first:
            accuracies = [accuracy for record in records for accuracy in record["accuracies"]]
            recorder.accuracy("validation", sum(accuracies) / len(accuracies), method=method.name)
        if method.number == self._num_rounds:
            method.is_over = True
        else:
            self._begin(method, method.number + 1, 0, queue)
        return True

    def _catch_up(self, method: _Method, queue: ShardQueue, *, least: int) -> bool:
        """Continue after the last round that others have finished, if its number is at least ``least``.

        Return whether there is such a round.
        """
        finished = 0 if self._worker.is_alone else self._last_finished_round(method, queue, least=least)
        if not finished:
            return False
        queue.finished.supersede(method.shards)
        self._progress.follow((finished - method.number) * self._num_parts)
        self._begin(method, finished + 1, 0, queue)
        return True

    def _give_up(self, queue: ShardQueue, claimed: ClaimedShard, task: PartTask) -> None:
        """End a task whose files are gone because others have finished later rounds."""
        method = next(each for each in self._methods if each.name == task.method)
        queue.refresh()
        if method.number <= task.number and not self._catch_up(method, queue, least=task.number + 1):
            raise ArtifactCorruptError(
                f"Round {task.number} of {task.method} needs files in {self._inputs.rounds_folder}, of which at least "
                f"one is missing: run the same command again to compute it."
            )
        queue.give_up(claimed)

    def _begin(self, method: _Method, number: int, phase: int, queue: ShardQueue) -> None:
        method.number, method.phase = number, phase
        tasks = self._tasks(method, number, phase)
        method.shards = [Shard(name=task.name, tasks=(task,), num_records=1) for task in tasks]
        queue.add(method.shards)
        if not phase:
            self._delete_before(method, number - _NUM_KEPT_ROUNDS, queue)

    def _tasks(self, method: _Method, number: int, phase: int) -> list[PartTask]:
        """Return the tasks of all parts in one phase of a round."""
        return [PartTask(method.name, number, phase, part, self._num_parts) for part in range(self._num_parts)]

    def _reopen_damaged(self, method: _Method, records: Iterable[Record], queue: ShardQueue) -> None:
        """Let the parts be done again whose records or files are damaged or missing."""
        damaged = [name for name in map(_file_of, records) if not self._load(name)]
        if damaged:
            print_line(NAME, f"{damaged[0]} is damaged or missing: it is computed again")
            self._workspace.discard(*damaged)
        queue.finished.recheck(method.shards)

    def _last_finished_round(self, method: _Method, queue: ShardQueue, *, least: int = 1) -> int:
        """Return the number of the last round that all parts have finished, from ``least`` on; 0 if there is none.

        The last round of all does not count, because its records are needed. The files of the round are then in the
        folder of the workspace.
        """
        pattern = self._pattern_of(method, _FOLDER)
        listed = {int(found[1]) for name in queue.file_names if (found := pattern.match(name))}
        for number in sorted((each for each in listed if least <= each < self._num_rounds), reverse=True):
            names = [_FOLDER + task.state_name for task in self._tasks(method, number, 0)]
            if all(name in queue.file_names for name in names) and all(map(self._load, names)):
                return number
        return 0

    def _load(self, name: str) -> bool:
        path = self._workspace.folder / name
        return is_intact(path) or (load_if_intact(self._workspace, name) and is_intact(path))

    def _delete_before(self, method: _Method, first_kept: int, queue: ShardQueue) -> None:
        """Delete what belongs to rounds before ``first_kept``. Only the first worker deletes saved files."""
        pattern = self._pattern_of(method)

        def is_old(name: str) -> bool:
            found = pattern.match(name)
            return found is not None and int(found[1]) < first_kept

        names = [_FOLDER + path.name for path in self._inputs.rounds_folder.iterdir() if is_old(path.name)]
        if not self._worker.is_first:
            for name in names:
                (self._workspace.folder / name).unlink(missing_ok=True)
            return
        listed = [name for name in queue.file_names if name.startswith(_FOLDER) and is_old(name.removeprefix(_FOLDER))]
        self._workspace.discard(*{*names, *listed})
        self._workspace.discard(*files_of_shards(queue.file_names, is_old))

    def _pattern_of(self, method: _Method, folder: str = "") -> re.Pattern[str]:
        """Return the pattern of the names of files and shards of a method, with the number of the round as its group.

        Names of another division into parts do not match, because another run may use them.
        """
        division = rf"(?:\d+-)?\d+of{self._num_parts:03d}(?!\d)"
        return re.compile(rf"{re.escape(folder)}{re.escape(method.name)}-(\d+)-{division}")


def _file_of(record: Record) -> str:
    task = PartTask.of_record(record)
    return _FOLDER + (task.state_name if record["is_last"] else task.file_name)
