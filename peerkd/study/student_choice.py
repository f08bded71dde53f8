"""The three possible decisions for a student. ``peerkd.results.advice`` contains the rule that makes them."""

from typing import Literal

from peerkd.study.controls import is_control

StudentDecision = Literal["distil", "fine_tune", "leave"]
"""distil: the student learns from a teacher. fine_tune: it trains on without a teacher. leave: it stays unchanged."""


def decision(distillation_weight: float | None, target: str | None = None) -> StudentDecision:
    """Return what is decided for a student if a setting with this weight and target is chosen for it.

    Args:
        distillation_weight: The weight of the divergence in the loss. None: the choice is not to train the student.
        target: The label of the target, as in the table of trials.
    """
    if distillation_weight is None:
        return "leave"
    return "fine_tune" if is_control(distillation_weight, target) else "distil"
