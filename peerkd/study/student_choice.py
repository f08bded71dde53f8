"""The three possible decisions for a student. ``peerkd.results.advice`` contains the rule that makes them."""

from typing import Literal

StudentDecision = Literal["distil", "fine_tune", "leave"]
"""distil: the student learns from a teacher. fine_tune: it trains on without a teacher. leave: it stays unchanged."""


def decision(distillation_weight: float | None) -> StudentDecision:
    """Return what is decided for a student if a setting with this weight of the divergence is chosen for it.

    Args:
        distillation_weight: The weight, 0 for a control. None: the choice is not to train the student.
    """
    if distillation_weight is None:
        return "leave"
    return "distil" if distillation_weight > 0 else "fine_tune"
