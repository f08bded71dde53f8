"""The students of some trials in mid-training, in memory: one by itself, or many tiny ones side by side.

Epochs one by one, with judging in between, end in what all at once end in, to the last bit.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from peerkd.config.training import DistillConfig
from peerkd.study.splits import SPLITS
from peerkd.study.trials import Trial
from peerkd.training.checkpoints import copy_state
from peerkd.training.distill import TeacherLogits, distill
from peerkd.training.evaluate import Judge, Predictions
from peerkd.training.finite import are_finite
from peerkd.training.samples import SampleSet
from peerkd.training.stacked.students import Students
from peerkd.training.trial_state import TrialState


class Trainees(Protocol):
    """The students of some trials on one transfer set, in the order of the trials."""

    def train(self, samples: SampleSet, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Go on for these epochs, counted from 0; all before them must have been done.

        Args:
            samples: The transfer set of all of them.
            logits: Of each trial's teacher, for these epochs; None for a control.
            epochs: Those to do.
        """
        ...

    def predict(self, judge: Judge, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return what each student predicts on its peer's evaluation samples."""
        ...

    def are_finite(self) -> list[bool]:
        """Return for each student whether weights, buffers and momenta are finite; see ``peerkd.training.finite``."""
        ...

    def states(self) -> list[TrialState]:
        """Return where each trial stands; further training may change it."""
        ...


class LoneTrainee:
    """One student, of any architecture on any device."""

    def __init__(self, network: nn.Module, trial: Trial, start: TrialState, *, recipe: DistillConfig) -> None:
        """Put the start into the network, which nobody else may use meanwhile."""
        self._network, self._trial, self._recipe = network, trial, recipe
        self._momenta = start.momenta
        copy_state(start.weights, network)

    def train(self, samples: SampleSet, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Go on for these epochs; see ``Trainees``."""
        (teacher,) = logits
        self._momenta = distill(
            self._network,
            samples,
            teacher=teacher,
            distillation_weight=self._trial.setting.distillation_weight,
            temperature=self._trial.setting.temperature,
            recipe=self._recipe,
            learning_rate=self._trial.setting.learning_rate,
            epochs=epochs,
            momenta=self._momenta,
        )

    def predict(self, judge: Judge, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return what the student predicts; see ``Trainees``."""
        return [judge.predict(self._network, peer=self._trial.student, splits=splits)]

    def are_finite(self) -> list[bool]:
        """Return whether the student is finite; see ``Trainees``."""
        return [are_finite([*self._network.state_dict().values(), *self._momenta.values()])]

    def states(self) -> list[TrialState]:
        """Return where the trial stands; see ``Trainees``."""
        return [TrialState(self._network.state_dict(), self._momenta)]


class StackedTrainees:
    """Students of one of the architectures that are trained side by side."""

    def __init__(self, students: Students, trials: Sequence[Trial], *, recipe: DistillConfig) -> None:
        """Take over students that stand where the trials do."""
        self._students, self._trials, self._recipe = students, trials, recipe

    def train(self, samples: SampleSet, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Go on for these epochs; see ``Trainees``."""
        self._students.train(
            samples,
            teacher_logits=logits,
            distillation_weights=[trial.setting.distillation_weight for trial in self._trials],
            temperatures=[trial.setting.temperature for trial in self._trials],
            learning_rates=[trial.setting.learning_rate for trial in self._trials],
            recipe=self._recipe,
            epochs=epochs,
        )

    def predict(self, judge: Judge, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return what each student predicts; see ``Trainees``."""
        return judge.predict_many(self._students.logits, peers=[trial.student for trial in self._trials], splits=splits)

    def are_finite(self) -> list[bool]:
        """Return for each student whether it is finite; see ``Trainees``."""
        return self._students.are_finite()

    def states(self) -> list[TrialState]:
        """Return where each trial stands; see ``Trainees``."""
        places = range(len(self._trials))
        return [TrialState(self._students.state(place), self._students.momentum(place)) for place in places]
