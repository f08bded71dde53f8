"""The controls: trainings in which no teacher takes part.

The share of a student's gain that is due to the teacher is the gain of a distillation minus the gain of a control. Each
training is therefore either a distillation or a control. There are two kinds of controls. In fine-tuning, the loss has
no divergence. In the second kind, the loss has a divergence, but its target is made without the teacher, for instance
by the student's old self alone.

Shape suffixes: N = trials.
"""

from collections.abc import Iterable
from typing import Final

from peerkd.losses.targets import TARGET_LABELS, target_of_label

TARGETS_WITHOUT_TEACHER: Final = frozenset(label for label in TARGET_LABELS if not target_of_label(label).needs_teacher)
"""The labels of the targets that are made without the teacher."""


def is_control(distillation_weight: float, target: str | None) -> bool:
    """Return whether no teacher takes part in a training.

    Args:
        distillation_weight: The weight of the divergence in the loss.
        target: The label of the target. None: the only target of the experiment, which always needs the teacher.
    """
    return distillation_weight == 0 or target in TARGETS_WITHOUT_TEACHER


def are_controls(distillation_weight_N: Iterable[float], target_N: Iterable[str | None]) -> list[bool]:
    """Return for each trial whether it is a control, given two columns of the table of trials."""
    # The rule of ``is_control``, without a call for each of hundreds of thousands of trials.
    return [
        weight == 0 or target in TARGETS_WITHOUT_TEACHER
        for weight, target in zip(distillation_weight_N, target_N, strict=True)
    ]
