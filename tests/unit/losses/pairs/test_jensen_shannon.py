"""The Jensen-Shannon divergence against sums in plain Python, its bound and its limits."""

import math

import pytest
import torch

from peerkd.losses.pairs.jensen_shannon import jensen_shannon
from peerkd.losses.pairs.kl import kl
from peerkd.losses.pairs.reverse_kl import reverse_kl
from tests.pair_losses import divergence, random_logits, softmax

STUDENTS_BK, TEACHERS_BK = random_logits(0), random_logits(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_it_is_the_formula_written_out(temperature: float, share: float) -> None:
    expected = []
    for student, teacher in zip(STUDENTS_BK.tolist(), TEACHERS_BK.tolist(), strict=True):
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        m = [share * p_k + (1 - share) * q_k for p_k, q_k in zip(p, q, strict=True)]
        expected.append(share * divergence(p, m) + (1 - share) * divergence(q, m))
    found_B = jensen_shannon(STUDENTS_BK, TEACHERS_BK, temperature=temperature, teacher_share=share)
    assert found_B.tolist() == pytest.approx(expected, rel=1e-10)


def test_with_equal_shares_student_and_teacher_can_be_exchanged_and_the_largest_value_is_log_2() -> None:
    one_B, other_B = (
        jensen_shannon(first_BK, second_BK, temperature=1.0, teacher_share=0.5)
        for first_BK, second_BK in ((STUDENTS_BK, TEACHERS_BK), (TEACHERS_BK, STUDENTS_BK))
    )
    torch.testing.assert_close(one_B, other_B)
    opposite = torch.tensor([[1000.0, -1000.0]]), torch.tensor([[-1000.0, 1000.0]])
    assert jensen_shannon(*opposite, temperature=1.0, teacher_share=0.5).item() == pytest.approx(math.log(2))


def test_its_limits_are_the_two_directions_of_the_kl_divergence() -> None:
    small_B = jensen_shannon(STUDENTS_BK, TEACHERS_BK, temperature=2.0, teacher_share=1e-7) / 1e-7
    large_B = jensen_shannon(STUDENTS_BK, TEACHERS_BK, temperature=2.0, teacher_share=1 - 1e-7) / 1e-7
    torch.testing.assert_close(small_B, kl(STUDENTS_BK, TEACHERS_BK, temperature=2.0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(large_B, reverse_kl(STUDENTS_BK, TEACHERS_BK, temperature=2.0), rtol=1e-4, atol=1e-6)
