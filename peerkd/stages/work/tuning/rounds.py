"""Rounds of a tuned study: what is done in one, as a file that is the truth for every later life, and as shards."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from peerkd.results import journal
from peerkd.stages.shards import SCRATCH, Shard, cut
from peerkd.stages.work.tuning.space import trial_of
from peerkd.study.transfer_sets import set_owners
from peerkd.study.trials import Trial, Unit
from peerkd.training.inputs import Leg, LegsTogether
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import Space

ROUNDS: Final = f"{SCRATCH}rounds/"

MAX_SHARDS: Final = 16
"""Of a round: enough for many workers to end together. There are dozens of rounds, and a store lists all shards."""

MAX_TRIALS: Final = 16
"""Of a task. More students side by side are hardly faster, and the trials of a round are to occupy many processes."""

_NUM_TASKS: Final = 4
"""That a round has at least, if it has so many trials: processes are not to wait for one that has them all."""

Phase = Literal["search", "finish", "end"]
"""search: what the tuner asks for. finish: chosen trials, to their end. end: there is no further round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What is done together."""

    number: int
    phase: Phase
    asks: tuple[Suggestion, ...]
    seconds: float
    """From the beginning of the study until this was planned, breaks apart."""

    reason: str = ""
    """Why there is no further round, in an ``end``."""

    @property
    def name(self) -> str:
        """Name of its file in the workspace."""
        return round_name(self.number)

    def to_line(self) -> bytes:
        """Return the round as a line of a journal, with its checksum."""
        return journal.to_line(
            {
                "number": self.number,
                "phase": self.phase,
                "asks": [list(ask) for ask in self.asks],
                "seconds": self.seconds,
                "reason": self.reason,
            }
        )

    @classmethod
    def from_line(cls, line: bytes) -> "Round | None":
        """Return the round of a line from ``to_line``, or None if the line is damaged."""
        values = journal.from_line(line)
        if values is None:
            return None
        del values[journal.CHECKSUM]
        return cls(**{**values, "asks": tuple(Suggestion(*ask) for ask in values["asks"])})


def round_name(number: int) -> str:
    """Return the name of the file of a round."""
    return f"{ROUNDS}{number:04d}.json"


class Progress:
    """How far every trial will be when the rounds so far are done."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[int, int], int] = {}

    def epochs(self, pair: int, setting: int) -> int:
        """Return the epochs of a trial; 0 where it was not asked for."""
        return self._epochs.get((pair, setting), 0)

    def add(self, asks: Iterable[Suggestion]) -> None:
        """Take in a round."""
        self._epochs.update({(ask.pair, ask.setting): ask.num_epochs for ask in asks})

    @property
    def trials(self) -> Mapping[tuple[int, int], int]:
        """Epochs of every trial, by pair and setting."""
        return self._epochs


def shards_of(made: Round, space: Space, before: Progress) -> list[Shard]:
    """Return a round as shards of ``LegsTogether``: trials that share transfer set and epochs, if they are not many.

    Neighbours have their transfer set in common, and the largest sets come first so that none ends late.

    Args:
        made: The round.
        space: What its asks refer to.
        before: How far trials are that were asked for in earlier rounds.
    """
    alike: dict[tuple[int, ...], dict[tuple[int, int], list[Trial]]] = defaultdict(lambda: defaultdict(list))
    costs: dict[tuple[int, ...], int] = defaultdict(int)
    for ask in made.asks:
        trial = trial_of(space, pair=ask.pair, setting=ask.setting)
        first = before.epochs(ask.pair, ask.setting)
        owners = set_owners(trial.transfer_set, student=trial.student, teacher=_teacher(trial))
        alike[owners][first, ask.num_epochs].append(trial)
        costs[owners] += int(space.num_samples_QS[ask.pair, ask.setting]) * (ask.num_epochs - first)
    num_together = min(max(len(made.asks) // _NUM_TASKS, 1), MAX_TRIALS)
    tasks = [
        _together(trials[start : start + num_together], owners, first_epoch=first, last_epoch=last)
        for owners in sorted(alike, key=lambda owners: (-costs[owners], owners))
        for (first, last), unordered in alike[owners].items()
        # Those of one teacher are neighbours, whose logits are then made once; and among them those of one rate.
        for trials in [sorted(unordered, key=lambda trial: (_teacher(trial), trial.setting.learning_rate or 0.0))]
        for start in range(0, len(trials), num_together)
    ]
    return cut(tasks, num_records=num_trials, max_shards=MAX_SHARDS, prefix=f"{made.number:04d}-") if tasks else []


def num_trials(tasks: Sequence[LegsTogether]) -> int:
    """Return how many records tasks leave."""
    return sum(len(leg.unit.trials) for task in tasks for leg in task.legs)


def _together(trials: Sequence[Trial], owners: tuple[int, ...], *, first_epoch: int, last_epoch: int) -> LegsTogether:
    return LegsTogether(
        legs=tuple(
            Leg(
                unit=Unit(owners=owners, teacher=teacher, trials=tuple(of_teacher)),
                first_epoch=first_epoch,
                last_epoch=last_epoch,
            )
            for teacher, of_teacher in groupby(trials, key=_teacher)
        )
    )


def _teacher(trial: Trial) -> int:
    assert trial.teacher is not None, "a control is not asked for"
    return trial.teacher
