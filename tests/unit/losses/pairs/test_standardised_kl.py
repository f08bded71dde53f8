"""The KL divergence of standardised logits against sums in plain Python, and what it does not see."""

import math

import pytest
import torch

from peerkd.losses.pairs.standardised_kl import standardised_kl
from tests.pair_losses import divergence, random_logits, softmax

STUDENTS_BK, TEACHERS_BK = random_logits(0), random_logits(1)


def standardised(logits: list[float]) -> list[float]:
    mean = sum(logits) / len(logits)
    deviation = math.sqrt(sum((logit - mean) ** 2 for logit in logits) / len(logits))
    return [(logit - mean) / deviation for logit in logits]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(temperature: float) -> None:
    expected = [
        divergence(softmax(standardised(teacher), temperature), softmax(standardised(student), temperature))
        for student, teacher in zip(STUDENTS_BK.tolist(), TEACHERS_BK.tolist(), strict=True)
    ]
    found_B = standardised_kl(STUDENTS_BK, TEACHERS_BK, temperature=temperature)
    assert found_B.tolist() == pytest.approx(expected, rel=1e-10)


def test_a_student_with_the_teachers_logits_in_another_size_has_nothing_to_learn() -> None:
    students_BK = (7 * TEACHERS_BK + 3).requires_grad_()
    losses_B = standardised_kl(students_BK, TEACHERS_BK, temperature=2.0)
    losses_B.sum().backward()
    torch.testing.assert_close(losses_B, torch.zeros_like(losses_B), atol=1e-12, rtol=0)
    torch.testing.assert_close(students_BK.grad, torch.zeros_like(students_BK), atol=1e-12, rtol=0)


def test_logits_that_are_nearly_equal_are_not_blown_up() -> None:
    students_BK, teachers_BK = 1e-9 * STUDENTS_BK, torch.zeros_like(TEACHERS_BK)
    assert standardised_kl(students_BK, teachers_BK, temperature=1.0).max() < 1e-9
