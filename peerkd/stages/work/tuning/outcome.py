"""The choices of a tuned study after some iterations, and their summary.

The summaries form the curve of gain over cost.

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
    """The mean observed gain of the choices, over all pairs. A choice without an observed gain counts as 0, and so does
    a student that stays unchanged."""

    mean_predicted_gain: float | None
    """The mean predicted gain of the choices, over all pairs; None if the tuner does not predict gains."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyOutcome:
    """The choices of a tuned study for all pairs, with their observed and predicted gains."""

    wanted_Q: IntArray
    """The tuner's choices. A choice that was observed to break the limit on forgetting is replaced. The replacement is
    the pair's best setting that was observed to keep the limit and to have a gain above 0. If no such setting exists,
    the student stays unchanged."""

    choices_Q: IntArray
    """The final choices. They equal ``wanted_Q``, except that under a limit on forgetting a choice that was not tried
    is dropped: the student stays unchanged."""

    gains_Q: FloatArray
    """The observed validation gain of each choice after ``epochs_Q`` epochs; NaN where the choice was not tried."""

    epochs_Q: IntArray
    """The number of epochs after which the gain of each choice is measured: the trained epochs or, if the study chooses
    epochs, the chosen epoch to stop after.

    It is 0 where the choice was not tried.
    """

    expected_Q: FloatArray
    """The expected gain of each setting of ``wanted_Q``: the gain that the tuner predicts or, without a prediction, the
    observed gain. NaN if the gain was neither predicted nor observed."""

    predicted_Q: FloatArray
    """The predicted gain of each setting of ``choices_Q``. NaN if the tuner does not predict gains, and where the tuner
    had chosen another setting."""

    @property
    def mean_predicted_gain(self) -> float | None:
        """The mean predicted gain of the choices, over all pairs; None if the tuner does not predict gains.

        A choice that replaced a setting beyond the limit on forgetting has no prediction. Its observed gain counts.
        """
        if np.isnan(self.predicted_Q).all():
            return None
        return float(np.where(np.isnan(self.predicted_Q), self.gains_Q, self.predicted_Q).mean())


def where_chosen(values_Q: FloatArray, *, chosen_Q: IntArray, choices_Q: IntArray) -> FloatArray:
    """Return a value for the final choice of each pair, given a tuner's values for the tuner's own choices.

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
