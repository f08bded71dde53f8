"""A check that all programs reach the same accuracies. Otherwise their times could not be compared.

The reference is peerkd in float32. Programs that see the same batches in float32 must agree with it in every trial,
except for a few samples near the border of two classes. A program with another order or other views of the samples, or
with fewer bits, must agree on average.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any, NamedTuple

from benchmarks.sweep.outcome import Outcome

MAX_TRIAL_DIFFERENCE = 0.03
"""Limit on the difference of the test accuracy of one trial. It applies only if the batches are the same."""

MAX_MEAN_DIFFERENCE = 0.01
"""Limit on the difference of the mean over trials. If the batches differ, three standard errors are added to the
limit."""

Accuracies = Mapping[tuple[Any, ...], float]
"""The test accuracy of the reference for each trial, by the identity of the trial."""


class Agreement(NamedTuple):
    """The differences between a program and the reference."""

    num_trials: int
    mean_difference: float
    largest_difference: float
    allowed_mean: float
    allowed_largest: float | None
    """The limit on ``largest_difference``. None: no limit."""

    @property
    def holds(self) -> bool:
        """Whether both differences are within their limits."""
        is_near = self.allowed_largest is None or self.largest_difference <= self.allowed_largest
        return is_near and abs(self.mean_difference) <= self.allowed_mean


def reference_accuracies(laps: Iterable[Sequence[Outcome]]) -> Accuracies:
    """Return the accuracy of each trial.

    Raises:
        ArithmeticError: If the accuracy of a trial differs between rounds.
    """
    accuracies: dict[tuple[Any, ...], float] = {}
    for outcomes in laps:
        for outcome in outcomes:
            if accuracies.setdefault(outcome.identity, outcome.test_accuracy) != outcome.test_accuracy:
                raise ArithmeticError(
                    f"The trial {outcome.identity} ended in the accuracies {accuracies[outcome.identity]} and "
                    f"{outcome.test_accuracy}."
                )
    return accuracies


def compare(outcomes: Sequence[Outcome], reference: Accuracies, *, has_same_batches: bool) -> Agreement:
    """Compare a program with the reference on the trials that both have completed.

    Raises:
        ArithmeticError: If they have no trial in common.
    """
    differences = [
        outcome.test_accuracy - reference[outcome.identity] for outcome in outcomes if outcome.identity in reference
    ]
    if not differences:
        raise ArithmeticError("Two programs have no trial in common.")
    largest = max(map(abs, differences))
    allowed_mean = MAX_MEAN_DIFFERENCE
    if not has_same_batches:
        # A single trial has no standard deviation, so a usual difference between trials is used instead.
        deviation = stdev(differences) if len(differences) > 1 else MAX_TRIAL_DIFFERENCE
        allowed_mean += 3 * deviation / sqrt(len(differences))
    return Agreement(
        num_trials=len(differences),
        mean_difference=mean(differences),
        largest_difference=largest,
        allowed_mean=allowed_mean,
        allowed_largest=MAX_TRIAL_DIFFERENCE if has_same_batches else None,
    )
