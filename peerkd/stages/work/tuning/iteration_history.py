"""A worker's knowledge of a tuned study: its iterations, and the training states from which trials continue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from peerkd.artifacts.store import Workspace
from peerkd.metrics.progress import print_line
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.stages.journals import Record
from peerkd.stages.shard_queue import ShardQueue
from peerkd.stages.shards import SCRATCH, Shard, load_if_intact
from peerkd.stages.tune_pairs import NAME
from peerkd.stages.work.tuning.iterations import Iteration, StudyProgress, iteration_name, shards_of
from peerkd.stages.work.tuning.space import trial_of
from peerkd.stages.work.tuning.trial_results import is_finite, with_earlier_epochs
from peerkd.study.trials import Trial, record_identity
from peerkd.training.inputs import EpochRange, JointEpochRanges, state_name
from peerkd.training.seals import is_intact
from peerkd.tuning.space import Space

STATES: Final = f"{SCRATCH}states/"
_A_COLUMN_BY_EPOCH: Final = next(iter(BY_EPOCH_COLUMNS.values()))
_NUM_ITERATIONS_UNDER_WAY: Final = 2
"""The maximum number of iterations that are unfinished at the same time. They are always the latest ones, so training
states from before them are not needed."""


class IterationHistory:
    """The iterations that this worker knows, and the training states from which trials continue."""

    def __init__(self, workspace: Workspace, space: Space, *, is_first_worker: bool) -> None:
        self._workspace, self._space, self._is_first_worker = workspace, space, is_first_worker
        self._progress = StudyProgress()
        self._damaged: set[str] = set()
        """The names of damaged files of iterations that have been reported to the user."""

        self._superseded: list[list[str]] = []
        self.iterations: list[Iteration] = []
        self.shards: list[Sequence[Shard]] = []
        """The shards of each iteration."""

    @property
    def is_over(self) -> bool:
        """Whether no further iteration will follow."""
        return bool(self.iterations) and self.iterations[-1].phase == "end"

    @property
    def num_trials(self) -> int:
        """The number of records when all iterations so far are done. There is a record for each suggestion."""
        return sum(len(each.suggestions) for each in self.iterations)

    @property
    def epochs(self) -> Mapping[tuple[int, int], int]:
        """The number of epochs of every trial when all iterations so far are done, by pair and setting."""
        return self._progress.trials

    def follow(self, queue: ShardQueue) -> bool:
        """Read all iterations that have been planned since the last call; return whether more iterations may follow."""
        while not self.is_over and (planned := self.read_next(queue)):
            self.add(planned, queue)
        return not self.is_over

    def read_next(self, queue: ShardQueue) -> Iteration | None:
        """Return the next iteration, or None if it has not been planned or its file is damaged."""
        name = iteration_name(len(self.iterations))
        if name not in queue.file_names:
            return None
        is_loaded = load_if_intact(self._workspace, name)
        planned = Iteration.from_line((self._workspace.folder / name).read_bytes()) if is_loaded else None
        if planned is None and name not in self._damaged:
            self._damaged.add(name)
            print_line(NAME, f"{name} is damaged: the iteration is planned again")
        return planned

    def add(self, planned: Iteration, queue: ShardQueue) -> None:
        """Add the next iteration to the queue, and delete saved training states that no later iteration needs."""
        shards = shards_of(planned, self._space, self._progress)
        self._superseded.append(
            [
                _state(self.trial(each.pair, each.setting), num_epochs=epochs)
                for each in planned.suggestions
                if (epochs := self._progress.epochs(each.pair, each.setting))
            ]
        )
        self._progress.add(planned.suggestions)
        self.iterations.append(planned)
        self.shards.append(shards)
        queue.add(shards)
        if len(self.iterations) > _NUM_ITERATIONS_UNDER_WAY:
            self._discard(self._superseded[-1 - _NUM_ITERATIONS_UNDER_WAY])

    def remaining(self, tasks: Sequence[JointEpochRanges], done: set[Any]) -> Iterator[JointEpochRanges]:
        """Yield the unfinished parts of tasks.

        If the training state of a trial is lost, the trial starts from its first epoch, with the same result.

        Args:
            tasks: The tasks.
            done: The identities of the records that exist.
        """
        for task in tasks:
            ready, lost = [], []
            for epoch_range in task.ranges:
                trials = [
                    trial for trial in epoch_range.unit.trials if (*trial.identity, epoch_range.last_epoch) not in done
                ]
                can_continue = [
                    trial
                    for trial in trials
                    if epoch_range.first_epoch == 0 or self._has_state(trial, epoch_range.first_epoch)
                ]
                ready += _part(epoch_range, can_continue, first_epoch=epoch_range.first_epoch)
                lost += _part(epoch_range, [trial for trial in trials if trial not in can_continue], first_epoch=0)
            for ranges in (ready, lost):
                if ranges:
                    yield JointEpochRanges(ranges=tuple(ranges))

    def _has_state(self, trial: Trial, num_epochs: int) -> bool:
        name = _state(trial, num_epochs=num_epochs)
        return load_if_intact(self._workspace, name) and is_intact(self._workspace.folder / name)

    def state_to_keep(self, record: Record) -> list[str]:
        """Return the name of the file with the training state after a record, from which its trial can continue.

        The name is returned as a list of one item. The list is empty if the trial has run to its last epoch or has
        diverged, because then no state is needed.
        """
        name = _state(Trial.from_record(record), num_epochs=record["epochs"])
        if record["epochs"] < self._space.num_epochs and is_finite(record):
            return [name]
        (self._workspace.folder / name).unlink(missing_ok=True)
        return []

    def last_records(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the last record of each trial.

        If accuracies were measured after each epoch, the record has the accuracies of all epochs of the trial.

        Args:
            records: All records. The records of each trial must be in the order of its epochs.
        """
        last = {self.trial(pair, setting).identity: epochs for (pair, setting), epochs in self.epochs.items()}
        first: dict[tuple[object, ...], Record] = {}
        for record in records:
            trial = record_identity(record)
            if record[_A_COLUMN_BY_EPOCH] is not None:
                earlier = first.pop(trial, None)
                record = with_earlier_epochs(earlier, record) if earlier else record
                if record["epochs"] < last[trial]:
                    first[trial] = record
            if record["epochs"] == last[trial]:
                yield record

    def trial(self, pair: int, setting: int) -> Trial:
        """Return the trial of a pair under a setting."""
        return trial_of(self._space, pair=pair, setting=setting)

    def _discard(self, names: Sequence[str]) -> None:
        if self._is_first_worker:
            self._workspace.discard(*names)
        else:
            for name in names:
                (self._workspace.folder / name).unlink(missing_ok=True)


def identity(record: Record) -> tuple[object, ...]:
    """Return the identity of a record in a study: the identity of its trial, and the number of epochs done so far."""
    return (*record_identity(record), record["epochs"])


def _part(epoch_range: EpochRange, trials: Sequence[Trial], *, first_epoch: int) -> list[EpochRange]:
    """Restrict an epoch range to some trials, with a new first epoch, and return it as a list of one item.

    Args:
        epoch_range: The epoch range of all trials.
        trials: The trials to keep. If there are none, the result is an empty list.
        first_epoch: The first epoch of the result. The last epoch stays the same.
    """
    return (
        [replace(epoch_range, unit=replace(epoch_range.unit, trials=tuple(trials)), first_epoch=first_epoch)]
        if trials
        else []
    )


def _state(trial: Trial, *, num_epochs: int) -> str:
    return STATES + state_name(trial, num_epochs=num_epochs)
