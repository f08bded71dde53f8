"""The trainings in which no teacher takes part."""

import pytest
import torch

from peerkd.losses.targets import PAIR_TARGETS, target_of_label
from peerkd.losses.targets.target import Prediction, target_logits
from peerkd.study.controls import TARGETS_WITHOUT_TEACHER, are_controls, is_control


def test_a_training_without_divergence_or_towards_the_old_self_is_a_control() -> None:
    assert are_controls([0.0, 0.5, 1.0, 0.5, 0.5], [None, None, "student", "student+prior_adjusted", "mean"]) == [
        *(True, False, True, True, False)
    ]
    assert is_control(0, "teacher")
    assert {"student", "student+prior_adjusted"} == TARGETS_WITHOUT_TEACHER


@pytest.mark.parametrize("name", PAIR_TARGETS)
def test_a_target_needs_the_teacher_if_it_differs_between_teachers(name: str) -> None:
    target = target_of_label(name)
    generator = torch.Generator().manual_seed(0)
    student, *teachers = (
        Prediction(torch.randn(5, 4, generator=generator), torch.randint(9, (4,), generator=generator).float())
        for _ in range(3)
    )
    first, second = (target_logits(target, teacher, student, temperature=2.0).softmax(-1) for teacher in teachers)
    assert target.needs_teacher is not torch.allclose(first, second)
