"""The decisions for one student; ``peerkd.results.advice`` has the rule by which they are made."""

from typing import Literal

StudentDecision = Literal["distil", "fine_tune", "leave"]
"""distil: the student learns from a teacher. fine_tune: it trains on without a teacher. leave: it stays unchanged."""


def decision(distillation_weight: float | None) -> StudentDecision:
    """Return the decision that a choice amounts to, given the weight of its divergence; None for no training."""
    if distillation_weight is None:
        return "leave"
    return "distil" if distillation_weight > 0 else "fine_tune"
