"""The rounds of a tuned study as a worker of it goes through them: the first one plans them, the others read them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from peerkd.artifacts.store import Workspace
from peerkd.metrics.progress import say
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.stages.journals import Record
from peerkd.stages.shards import SCRATCH, Shard, load_if_intact, write_whole
from peerkd.stages.sharing import Sharing
from peerkd.stages.tune_pairs import NAME
from peerkd.stages.work.tuning.rounds import Progress, Round, round_name, shards_of
from peerkd.stages.work.tuning.shown import is_finite, joined, seen_at_best, seen_at_end
from peerkd.stages.work.tuning.space import trial_of
from peerkd.stages.work.tuning.study import Study
from peerkd.study.objective import Objective
from peerkd.study.trials import Trial, record_identity
from peerkd.training.inputs import Leg, LegsTogether, state_name
from peerkd.training.seals import is_intact
from peerkd.tuning.space import Space
from peerkd.tuning.validation import ValidationResult

STATES: Final = f"{SCRATCH}states/"
_TIME_IS_OVER: Final = "max_seconds are over"
_SAY_SECONDS: Final = 2.0
_A_COLUMN_BY_EPOCH: Final = next(iter(BY_EPOCH_COLUMNS.values()))
_MARGIN: Final = 2
"""A round is planned when all but the last one are done: what they made superfluous nobody needs any more."""


class Course:
    """The rounds that this worker knows of, and the states that trials go on from."""

    def __init__(self, workspace: Workspace, space: Space, *, leads: bool) -> None:
        self._workspace, self._space, self._leads = workspace, space, leads
        self._progress = Progress()
        self._damaged: set[str] = set()
        """Names of damaged rounds that have been reported."""

        self._superseded: list[list[str]] = []
        self.rounds: list[Round] = []
        self.shards: list[Sequence[Shard]] = []
        """Of each round."""

    @property
    def is_over(self) -> bool:
        """Whether there will be no further round."""
        return bool(self.rounds) and self.rounds[-1].phase == "end"

    @property
    def num_trials(self) -> int:
        """Records that all rounds so far leave."""
        return sum(len(made.asks) for made in self.rounds)

    @property
    def epochs(self) -> Mapping[tuple[int, int], int]:
        """How far every trial is when all rounds so far are done, by pair and setting."""
        return self._progress.trials

    def follow(self, sharing: Sharing) -> bool:
        """Take in the rounds that are there by now; return whether there may be more later."""
        while not self.is_over and (made := self.read(sharing)):
            self.add(made, sharing)
        return not self.is_over

    def read(self, sharing: Sharing) -> Round | None:
        """Return the next round, if it has been planned and its file is intact."""
        name = round_name(len(self.rounds))
        if name not in sharing.names:
            return None
        is_there = load_if_intact(self._workspace, name)
        made = Round.from_line((self._workspace.folder / name).read_bytes()) if is_there else None
        if made is None and name not in self._damaged:
            self._damaged.add(name)
            say(NAME, f"{name} is damaged: the round is planned again")
        return made

    def add(self, made: Round, sharing: Sharing) -> None:
        """Have the trials of the next round done, and delete the states that no trial can go on from any more."""
        shards = shards_of(made, self._space, self._progress)
        self._superseded.append(
            [
                _state(self.trial(ask.pair, ask.setting), num_epochs=epochs)
                for ask in made.asks
                if (epochs := self._progress.epochs(ask.pair, ask.setting))
            ]
        )
        self._progress.add(made.asks)
        self.rounds.append(made)
        self.shards.append(shards)
        sharing.add(shards)
        if len(self.rounds) > _MARGIN:
            self._discard(self._superseded[-1 - _MARGIN])

    def left(self, tasks: Sequence[LegsTogether], done: set[Any]) -> Iterator[LegsTogether]:
        """Yield what remains of tasks. A trial without an intact state starts again, with the same result."""
        for task in tasks:
            ready, lost = [], []
            for leg in task.legs:
                trials = [trial for trial in leg.unit.trials if (*trial.identity, leg.last_epoch) not in done]
                there = [trial for trial in trials if leg.first_epoch == 0 or self._has_state(trial, leg.first_epoch)]
                ready += _part(leg, there, first_epoch=leg.first_epoch)
                lost += _part(leg, [trial for trial in trials if trial not in there], first_epoch=0)
            for legs in (ready, lost):
                if legs:
                    yield LegsTogether(legs=tuple(legs))

    def _has_state(self, trial: Trial, num_epochs: int) -> bool:
        name = _state(trial, num_epochs=num_epochs)
        return load_if_intact(self._workspace, name) and is_intact(self._workspace.folder / name)

    def state_to_keep(self, record: Record) -> list[str]:
        """Return the file that later epochs of the trial go on from; none if the trial is over or diverged."""
        name = _state(Trial.from_record(record), num_epochs=record["epochs"])
        if record["epochs"] < self._space.num_epochs and is_finite(record):
            return [name]
        (self._workspace.folder / name).unlink(missing_ok=True)
        return []

    def last_records(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield of each trial the last record, with what it was after each epoch if that was measured.

        Args:
            records: Those of a trial in the order in which they were made.
        """
        last = {self.trial(pair, setting).identity: epochs for (pair, setting), epochs in self.epochs.items()}
        first: dict[tuple[object, ...], Record] = {}
        for record in records:
            trial = record_identity(record)
            if record[_A_COLUMN_BY_EPOCH] is not None:
                earlier = first.pop(trial, None)
                record = joined(earlier, record) if earlier else record
                if record["epochs"] < last[trial]:
                    first[trial] = record
            if record["epochs"] == last[trial]:
                yield record

    def trial(self, pair: int, setting: int) -> Trial:
        """Return the trial of a pair under a setting."""
        return trial_of(self._space, pair=pair, setting=setting)

    def _discard(self, names: Sequence[str]) -> None:
        if self._leads:
            self._workspace.discard(*names)
        else:
            for name in names:
                (self._workspace.folder / name).unlink(missing_ok=True)


class LeadCourse:
    """The course of the worker that plans."""

    def __init__(
        self,
        course: Course,
        study: Study,
        workspace: Workspace,
        *,
        stage: str,
        objective: Objective,
        chooses_epochs: bool,
        max_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._course, self.study, self._workspace = course, study, workspace
        self._stage, self._objective, self._max_seconds = stage, objective, max_seconds
        self._chooses_epochs = chooses_epochs
        self._clock, self._began_at, self._earlier_seconds = clock, clock(), 0.0
        self._said_at = -_SAY_SECONDS

    def lead(self, sharing: Sharing) -> bool:
        """Plan the rounds that can be planned by now; return whether there may be more later."""
        while not self._course.is_over:
            if not self._tell(sharing, self.study.num_needed):
                return True
            made = self._next(sharing)
            if made:
                self.study.accept(made)
                self._course.add(made, sharing)
        return False

    def end(self, sharing: Sharing) -> float:
        """Tell the study of all that was done; return the seconds that it took, breaks apart."""
        self._tell(sharing, len(self._course.rounds) - 1)
        self.study.close()
        return self._seconds()

    def _tell(self, sharing: Sharing, num_rounds: int) -> bool:
        """Tell the study of its first rounds; return False if one of them is not done."""
        while self.study.num_told < num_rounds:
            number = self.study.num_told
            if not sharing.is_done(self._course.shards[number]):
                return False
            self.study.tell(self._seen(sharing, number))
            self._say_so()
        return True

    def _say_so(self) -> None:
        if self._clock() - self._said_at >= _SAY_SECONDS:
            self._said_at = self._clock()
            say(self._stage, self.study.how_far())

    def _seen(self, sharing: Sharing, number: int) -> list[ValidationResult]:
        records = {identity(record): record for record in sharing.records(self._course.shards[number])}
        asks = self._course.rounds[number].asks
        asked = [records[*self._course.trial(ask.pair, ask.setting).identity, ask.num_epochs] for ask in asks]
        if self._chooses_epochs:
            return [seen_at_best(record, self._objective) for record in asked]
        return seen_at_end(asked, self._objective)

    def _next(self, sharing: Sharing) -> Round | None:
        saved = self._course.read(sharing)
        if saved:
            self._earlier_seconds, self._began_at = saved.seconds, self._clock()
            if saved.reason == _TIME_IS_OVER:
                return saved
            # Asked for again, as a tuner may count on being asked; what was saved is what counts.
            return self.study.plan(seconds=saved.seconds) and saved
        seconds = self._seconds()
        if self._max_seconds is not None and seconds >= self._max_seconds:
            planned: Round | None = self.study.end(seconds=seconds, reason=_TIME_IS_OVER)
        else:
            planned = self.study.plan(seconds=seconds)
        if planned:
            write_whole(self._workspace, planned.name, planned.to_line(), partial=f"{SCRATCH}round.writing")
        return planned

    def _seconds(self) -> float:
        return self._earlier_seconds + self._clock() - self._began_at


def identity(record: Record) -> tuple[object, ...]:
    """Return what tells a record from all others of a study: its trial, and how far that was done."""
    return (*record_identity(record), record["epochs"])


def _part(leg: Leg, trials: Sequence[Trial], *, first_epoch: int) -> list[Leg]:
    """Return the leg of some of its trials, as a list of one; of none if there are none."""
    return [replace(leg, unit=replace(leg.unit, trials=tuple(trials)), first_epoch=first_epoch)] if trials else []


def _state(trial: Trial, *, num_epochs: int) -> str:
    return STATES + state_name(trial, num_epochs=num_epochs)
