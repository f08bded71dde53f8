"""The choices of a tuned study after some iterations, and their summary as a point of the curve of gain over cost.

Shape suffixes: Q = ordered pairs.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.stages.work.tuning.iterations import Phase
from peerkd.tuning.space import NO_SETTING


@runtime_checkable
class Predicting(Protocol):
    """A tuner that predicts the gains of its choices."""

    def predicted(self) -> FloatArray:
        """Return the expected validation gain of the tuner's choice for each pair, of shape (Q,).

        It is 0 where the student stays unchanged.
        """
        ...

    def deviations(self) -> FloatArray:
        """Return the standard deviation of each gain that ``predicted`` returns, of shape (Q,).

        This takes longer than ``predicted``.
        """
        ...


class CurvePoint(NamedTuple):
    """A summary of the choices of a study after an iteration, and of its cost so far."""

    iteration: int
    phase: Phase
    spent_share: float
    num_trials: int
    num_pairs_tried: int
    num_pairs_distilled: int
    """The number of pairs for which a setting was chosen."""

    num_chosen_measured: int
    """The number of pairs whose chosen setting has an observed gain."""

    mean_observed_gain: float
    """The mean observed gain of the choices, over all pairs. It counts 0 for a choice without an observed gain, and for
    a student that stays unchanged."""

    mean_predicted_gain: float | None
    """The mean predicted gain of the choices, over all pairs; None if the tuner does not predict gains."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyOutcome:
    """The choices of a tuned study for all pairs, with their observed and predicted gains."""

    wanted_Q: IntArray
    """The settings that the tuner chooses, except those that were observed to break the limit on forgetting."""

    choices_Q: IntArray
    """The final choices. If there is a limit on forgetting, only settings with an observed gain can be chosen."""

    gains_Q: FloatArray
    """The observed validation gain of each choice after ``epochs_Q`` epochs; NaN where the choice was not tried."""

    epochs_Q: IntArray
    """The number of epochs after which each choice counts: the trained epochs, or the chosen epoch to stop after.

    It is 0 where the choice was not tried."""

    expected_Q: FloatArray
    """The expected gains of ``wanted_Q``: the predicted gains if the tuner predicts, else the observed gains or NaN."""

    predicted_Q: FloatArray
    """The predicted gains of ``choices_Q``; NaN if the tuner does not predict, or where it chose another setting."""

    @property
    def mean_predicted_gain(self) -> float | None:
        """The mean predicted gain of the choices, over all pairs; None if the tuner does not predict gains.

        A choice that replaced a forbidden one has no prediction, and counts with its observed gain.
        """
        if np.isnan(self.predicted_Q).all():
            return None
        return float(np.where(np.isnan(self.predicted_Q), self.gains_Q, self.predicted_Q).mean())


def where_chosen(values_Q: FloatArray, *, chosen_Q: IntArray, choices_Q: IntArray) -> FloatArray:
    """Return the values of the final choices, as far as a tuner's values for its own choices determine them.

    Args:
        values_Q: The tuner's values, such as predicted gains, for its own choices.
        chosen_Q: The tuner's own choices.
        choices_Q: The final choices.

    Returns:
        The tuner's value where both choices are the same, 0 where the tuner leaves the student unchanged, and NaN
            elsewhere.
    """
    other_Q = np.where(chosen_Q == NO_SETTING, 0.0 * values_Q, np.nan)
    return np.where(chosen_Q == choices_Q, values_Q, other_Q)
