"""The choice for one student: learn from a teacher, train on without one, or stay unchanged.

Shape suffixes: N = candidates, the trainings of one student among which the choice is made.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peerkd.study import ties

StudentDecision = Literal["distil", "fine_tune", "leave"]
"""distil: the student learns from a teacher. fine_tune: it trains on without a teacher. leave: it stays unchanged."""


def choose_for_student(
    gains_N: NDArray[np.float64], *, is_control_N: NDArray[np.bool_], num_changes_N: NDArray[np.int64]
) -> int | None:
    """Return the position of the best candidate, or None if the student should stay unchanged.

    A tie is no evidence. A control must therefore be better than no training at all, and a distillation must be better
    than both. Ties within each of the two groups follow the rule of ``peerkd.study.ties``.

    Args:
        gains_N: The gain of each candidate on validation, penalised if it breaks a limit. NaN for a training that
            diverged, which is never chosen.
        is_control_N: Whether a candidate has no teacher.
        num_changes_N: The number of hyper-parameters that differ from the untuned default; see ``ties.num_changes``.
    """
    finite_N = np.where(np.isnan(gains_N), -np.inf, gains_N)
    chosen, least = None, 0.0
    for positions in (np.flatnonzero(is_control_N), np.flatnonzero(~is_control_N)):
        if positions.size:
            position = int(positions[ties.best(finite_N[positions], num_changes_N[positions])])
            if ties.is_above(finite_N[position], least):
                chosen, least = position, float(finite_N[position])
    return chosen


def decision(distillation_weight: float | None) -> StudentDecision:
    """Return the decision that a choice amounts to, given the weight of its divergence; None for no training."""
    if distillation_weight is None:
        return "leave"
    return "distil" if distillation_weight > 0 else "fine_tune"
