"""The three possible decisions for a student. ``peerkd.results.advice`` contains the rule that makes them."""

from typing import Literal

from peerkd.study.controls import is_control

StudentDecision = Literal["distil", "fine_tune", "leave"]
"""A decision for a student: to learn from a teacher (``distil``), to train on without one (``fine_tune``), or to stay
unchanged (``leave``)."""


def decision(distillation_weight: float | None, target: str | None = None) -> StudentDecision:
    """Return the decision for a student that follows from the setting that was chosen for the student.

    Args:
        distillation_weight: The weight of the divergence in the chosen setting. None means that no setting was chosen,
            so the student is not trained.
        target: The label of the target, as in the table of trials.
    """
    if distillation_weight is None:
        return "leave"
    return "fine_tune" if is_control(distillation_weight, target) else "distil"
