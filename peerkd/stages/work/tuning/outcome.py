"""The choices of a tuned study after some iterations, and a summary of them for the curve.

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
        """Return the expected validation gain (Q,) of each of ``choices``; 0 where the student stays unchanged."""
        ...

    def deviations(self) -> FloatArray:
        """Return the standard deviation (Q,) of each of ``predicted``. This takes longer than ``predicted``."""
        ...


class CurvePoint(NamedTuple):
    """A summary of the choices after an iteration."""

    iteration: int
    phase: Phase
    spent_share: float
    num_trials: int
    num_pairs_tried: int
    num_pairs_distilled: int
    """The number of pairs for which a setting was chosen."""

    num_chosen_measured: int
    """The number of pairs whose chosen setting was measured."""

    mean_observed_gain: float
    """The mean over all pairs. A choice that was not measured counts 0, and so does an unchanged student."""

    mean_predicted_gain: float | None
    """The mean over all pairs, or None if the tuner does not predict."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyOutcome:
    """The choices, with their observed and predicted gains."""

    wanted_Q: IntArray
    """The tuner's choices, except those that were observed to break a limit on forgetting."""

    choices_Q: IntArray
    """The final choices. Under a limit, a wanted setting that was never measured is not chosen."""

    gains_Q: FloatArray
    """The observed validation gains after ``epochs_Q``; NaN where the choice was not tried."""

    epochs_Q: IntArray
    """The trained epochs of each choice, or the chosen epoch to stop after; 0 where the choice was not tried."""

    expected_Q: FloatArray
    """The expected gains of ``wanted_Q``: predicted if the tuner predicts them, else observed, else NaN."""

    predicted_Q: FloatArray
    """The predicted gains of ``choices_Q``; NaN where the tuner does not predict or chose another setting."""

    @property
    def mean_predicted_gain(self) -> float | None:
        """The mean over all pairs. A choice that replaced a forbidden one counts with its observed gain."""
        if np.isnan(self.predicted_Q).all():
            return None
        return float(np.where(np.isnan(self.predicted_Q), self.gains_Q, self.predicted_Q).mean())


def where_chosen(values_Q: FloatArray, *, chosen_Q: IntArray, choices_Q: IntArray) -> FloatArray:
    """Return the tuner's values for its own choices, 0 for students that stay unchanged instead, and NaN elsewhere."""
    other_Q = np.where(chosen_Q == NO_SETTING, 0.0 * values_Q, np.nan)
    return np.where(chosen_Q == choices_Q, values_Q, other_Q)
