"""Groups of students that are trained together: a single student, or many small students side by side.

A group can be trained for some epochs, evaluated, and trained further. The results are the same, to the last bit, as
if it had been trained for all epochs at once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from peerkd.config.training import DistillConfig
from peerkd.losses.pairs.temperature_rule import State
from peerkd.study.splits import SPLITS
from peerkd.study.trials import Trial
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import seeded
from peerkd.training.distill import TeacherLogits, distill
from peerkd.training.evaluate import Evaluator, Predictions
from peerkd.training.finite import are_finite
from peerkd.training.own_temperature import OwnTemperature, own_temperature
from peerkd.training.samples import SizedBatches
from peerkd.training.stacked.students import Students
from peerkd.training.trial_state import TrialState


class StudentGroup(Protocol):
    """The students of some trials on one transfer set, in the order of the trials."""

    def train(self, samples: SizedBatches, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Train all students of the group for some epochs. All earlier epochs must have been done.

        Args:
            samples: The transfer set of all students.
            logits: For each trial, the logits that its student imitates in these epochs; None for fine-tuning.
            epochs: The epochs to do, counted from 0.
        """
        ...

    def predict(self, evaluator: Evaluator, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return the predictions of each student on its peer's evaluation samples."""
        ...

    def are_finite(self) -> list[bool]:
        """Return for each student whether its training is finite so far, as ``peerkd.training.finite`` defines it."""
        ...

    def states(self) -> list[TrialState]:
        """Return the state of each trial. It need not be a copy: further training may change it."""
        ...


class SingleStudent:
    """A group of one student, of any architecture and on any device."""

    def __init__(
        self,
        network: nn.Module,
        trial: Trial,
        start: TrialState,
        *,
        recipe: DistillConfig,
        noise_seed: Callable[[int], int] | None = None,
        known_K: Tensor | None = None,
    ) -> None:
        """Copy the initial state of the trial into the network.

        Args:
            network: The network. It must not be used for anything else while the group exists.
            trial: The trial.
            start: The state from which the trial starts or continues.
            recipe: The recipe.
            noise_seed: A function that returns the seed of the random numbers that the network draws in an epoch, such
                as those of dropout. None means that the network draws none.
            known_K: Whether the student knows each class; None if it knows all of them.
        """
        self._network, self._trial, self._recipe = network, trial, recipe
        self._noise_seed, self._known_K = noise_seed, known_K
        self._momenta = start.momenta
        self._own = _own_temperature(trial, start, recipe)
        copy_state(start.weights, network)

    def train(self, samples: SizedBatches, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Train the student for some epochs, as ``StudentGroup.train`` specifies."""
        if self._noise_seed is None:
            self._distill(samples, logits, epochs=epochs)
            return
        for epoch in epochs:
            with seeded(self._noise_seed(epoch), samples.device):
                self._distill(samples, logits, epochs=range(epoch, epoch + 1))

    def _distill(self, samples: SizedBatches, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
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
            known_K=self._known_K,
            own=self._own,
        )

    def predict(self, evaluator: Evaluator, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return the student's predictions on the evaluation samples of its peer, in a list of one element."""
        return [evaluator.predict(self._network, peer=self._trial.student, splits=splits)]

    def are_finite(self) -> list[bool]:
        """Return whether the training of the student is finite so far, in a list of one element."""
        tensors = [*self._network.state_dict().values(), *self._momenta.values()]
        return [are_finite(tensors) and _is_finite(self._own)]

    def states(self) -> list[TrialState]:
        """Return the state of the trial, in a list of one element. Further training may change it."""
        return [TrialState(self._network.state_dict(), self._momenta, _state(self._own))]


class StackedGroup:
    """Students of an architecture that ``peerkd.training.stacked`` trains side by side."""

    def __init__(
        self, students: Students, trials: Sequence[Trial], starts: Sequence[TrialState], *, recipe: DistillConfig
    ) -> None:
        """Store students into which the initial states of the trials have been copied."""
        self._students, self._trials, self._recipe = students, trials, recipe
        self._own = [_own_temperature(trial, start, recipe) for trial, start in zip(trials, starts, strict=True)]

    def train(self, samples: SizedBatches, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Train all students for some epochs, as ``StudentGroup.train`` specifies."""
        self._students.train(
            samples,
            teacher_logits=logits,
            distillation_weights=[trial.setting.distillation_weight for trial in self._trials],
            temperatures=[trial.setting.temperature for trial in self._trials],
            learning_rates=[trial.setting.learning_rate for trial in self._trials],
            own=self._own,
            recipe=self._recipe,
            epochs=epochs,
        )

    def predict(self, evaluator: Evaluator, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return the predictions of each student on the evaluation samples of its peer."""
        return evaluator.predict_many(
            self._students.logits, peers=[trial.student for trial in self._trials], splits=splits
        )

    def are_finite(self) -> list[bool]:
        """Return for each student whether its training is finite so far."""
        return [flag and _is_finite(own) for flag, own in zip(self._students.are_finite(), self._own, strict=True)]

    def states(self) -> list[TrialState]:
        """Return a copy of the state of each trial."""
        return [
            TrialState(self._students.state(index), self._students.momentum(index), _state(own))
            for index, own in enumerate(self._own)
        ]


def _own_temperature(trial: Trial, start: TrialState, recipe: DistillConfig) -> OwnTemperature | None:
    weight = trial.setting.distillation_weight
    return own_temperature(recipe.term, distillation_weight=weight, state=start.own_temperature)


def _is_finite(own: OwnTemperature | None) -> bool:
    return own is None or all(map(math.isfinite, own.state))


def _state(own: OwnTemperature | None) -> State:
    return () if own is None else own.state
