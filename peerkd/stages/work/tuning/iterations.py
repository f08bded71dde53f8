"""The iterations of a tuned study: as files, from which a restarted study continues, and as shards for the workers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from peerkd.results import journal
from peerkd.stages.shards import SCRATCH, Shard, split_into_shards
from peerkd.stages.work.tuning.space import trial_of
from peerkd.study.transfer_sets import set_owners, unlabelled_owners
from peerkd.study.trials import Trial, Unit
from peerkd.training.inputs import EpochRange, JointEpochRanges
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import Space

ITERATIONS: Final = f"{SCRATCH}iterations/"

MAX_SHARDS: Final = 16
"""The maximum number of shards of an iteration.

With this many shards, many workers finish at about the same time. The number is not larger, because a study has dozens
of iterations, and a store lists the shards of all of them.
"""

MAX_TRIALS: Final = 16
"""The maximum number of trials of a task.

Training more students than this side by side is hardly faster, and small tasks let more processes share an iteration.
"""

_NUM_TASKS: Final = 4
"""The minimum number of tasks of an iteration with at least as many trials. With several tasks, several processes can
share the work."""

_Samples = tuple[tuple[int, ...], tuple[int, ...]]
"""Two tuples that identify a transfer set. The first contains the owners of its samples. The second contains the owners
of the samples that only the divergence uses, and is empty if both terms of the loss use the same samples."""

Phase = Literal["control", "search", "finish", "end"]
"""The kind of an iteration.

- ``control``: controls of each student on transfer sets that do not depend on a teacher.
- ``search``: suggestions of the tuner.
- ``finish``: the chosen trials, up to their last epoch, and controls on the same data.
- ``end``: no suggestions. It marks that no further iteration follows.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Iteration:
    """Suggestions of a tuner that are trained at the same time."""

    number: int
    phase: Phase
    suggestions: tuple[Suggestion, ...]
    seconds: float
    """The time from the start of the study to the planning of this iteration, not counting interruptions."""

    reason: str = ""
    """The reason why no iteration follows; empty unless the phase is ``end``."""

    @property
    def name(self) -> str:
        """The name of the iteration's file in the workspace."""
        return iteration_name(self.number)

    def to_line(self) -> bytes:
        """Return the iteration as a line of a journal, with its checksum."""
        return journal.to_line(
            {
                "number": self.number,
                "phase": self.phase,
                "suggestions": [list(suggestion) for suggestion in self.suggestions],
                "seconds": self.seconds,
                "reason": self.reason,
            }
        )

    @classmethod
    def from_line(cls, line: bytes) -> "Iteration | None":
        """Return the iteration in a line that ``to_line`` returned, or None if the line is damaged."""
        values = journal.from_line(line)
        if values is None:
            return None
        del values[journal.CHECKSUM]
        suggestions = tuple(Suggestion(*each) for each in values.pop("suggestions"))
        return cls(**values, suggestions=suggestions)


def iteration_name(number: int) -> str:
    """Return the name of the file of an iteration."""
    return f"{ITERATIONS}{number:04d}.json"


class StudyProgress:
    """Keeps the number of epochs for which each trial has been trained once all iterations so far are done."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[int, int], int] = {}

    def epochs(self, pair: int, setting: int) -> int:
        """Return the number of epochs of a trial; 0 if no iteration contains the trial."""
        return self._epochs.get((pair, setting), 0)

    def add(self, suggestions: Iterable[Suggestion]) -> None:
        """Add the suggestions of an iteration."""
        self._epochs.update(
            {(suggestion.pair, suggestion.setting): suggestion.num_epochs for suggestion in suggestions}
        )

    @property
    def trials(self) -> Mapping[tuple[int, int], int]:
        """The number of epochs of every trial, by pair and setting."""
        return self._epochs


def shards_of(planned: Iteration, space: Space, before: StudyProgress) -> list[Shard]:
    """Return the shards of an iteration, each of which contains some of its tasks.

    All trials of a task have the same samples and the same epochs. Tasks with the same samples follow one another. The
    samples whose tasks are the most work in total come first, so that no long work is left at the end.

    Args:
        planned: The iteration.
        space: The space to which the suggestions of the iteration refer.
        before: The numbers of epochs of all trials when the earlier iterations are done.
    """
    alike: dict[_Samples, dict[tuple[int, int], list[Trial]]] = defaultdict(lambda: defaultdict(list))
    costs: dict[_Samples, int] = defaultdict(int)
    for each in planned.suggestions:
        trial = trial_of(space, pair=each.pair, setting=each.setting)
        first = before.epochs(each.pair, each.setting)
        # A set that does not depend on a teacher has the same samples whichever peer is named.
        pair = {"student": trial.student, "teacher": trial.student if trial.teacher is None else trial.teacher}
        samples = set_owners(trial.transfer_set, **pair), unlabelled_owners(trial.transfer_set, **pair)
        alike[samples][first, each.num_epochs].append(trial)
        costs[samples] += space.num_samples(each.pair, each.setting) * (each.num_epochs - first)
    num_together = min(max(len(planned.suggestions) // _NUM_TASKS, 1), MAX_TRIALS)
    tasks = [
        _together(trials[start : start + num_together], samples, first_epoch=first, last_epoch=last)
        for samples in sorted(alike, key=lambda samples: (-costs[samples], samples))
        for (first, last), unordered in alike[samples].items()
        for trials in [sorted(unordered, key=_neighbourhood)]
        for start in range(0, len(trials), num_together)
    ]
    return (
        split_into_shards(tasks, num_records=num_trials, max_shards=MAX_SHARDS, prefix=f"{planned.number:04d}-")
        if tasks
        else []
    )


def num_trials(tasks: Sequence[JointEpochRanges]) -> int:
    """Return the number of records that result from tasks, one for each trial."""
    return sum(len(each.unit.trials) for task in tasks for each in task.ranges)


def _together(trials: Sequence[Trial], samples: _Samples, *, first_epoch: int, last_epoch: int) -> JointEpochRanges:
    owners, of_divergence = samples
    return JointEpochRanges(
        ranges=tuple(
            EpochRange(
                unit=Unit(owners=owners, unlabelled_owners=of_divergence, teacher=teacher, trials=tuple(of_teacher)),
                first_epoch=first_epoch,
                last_epoch=last_epoch,
            )
            for teacher, of_teacher in groupby(trials, key=_teacher)
        )
    )


def _teacher(trial: Trial) -> int | None:
    """Return the peer whose logits a trial needs; None for fine-tuning, whose loss has no divergence."""
    return trial.teacher if trial.setting.distillation_weight > 0 else None


def _neighbourhood(trial: Trial) -> tuple[int, str, float]:
    """Return a key for sorting trials by teacher, then by loss and learning rate.

    In this order, the logits of each teacher are computed only once.
    """
    teacher = _teacher(trial)
    return -1 if teacher is None else teacher, trial.setting.loss or "", trial.setting.learning_rate or 0.0
