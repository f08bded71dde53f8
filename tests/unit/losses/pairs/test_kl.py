"""Both directions of the KL divergence, against sums in plain Python."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from peerkd.losses.pairs.kl import kl
from peerkd.losses.pairs.reverse_kl import reverse_kl
from tests.pair_losses import divergence, random_logits, softmax

B, K = 6, 5
Loss = Callable[..., Tensor]
each_direction = pytest.mark.parametrize("loss", [kl, reverse_kl])


@each_direction
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(loss: Loss, temperature: float) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    expected = []
    for student, teacher in zip(students_BK.tolist(), teachers_BK.tolist(), strict=True):
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        expected.append(divergence(q, p) if loss is reverse_kl else divergence(p, q))
    assert loss(students_BK, teachers_BK, temperature=temperature).tolist() == pytest.approx(expected, rel=1e-12)


@each_direction
def test_a_teacher_that_the_student_equals_leaves_it_alone(loss: Loss) -> None:
    students_BK = random_logits(0).requires_grad_()
    losses_B = loss(students_BK, students_BK.detach().clone(), temperature=4.0)
    losses_B.sum().backward()
    assert losses_B.tolist() == [0.0] * B
    torch.testing.assert_close(students_BK.grad, torch.zeros(B, K, dtype=torch.float64), atol=1e-15, rtol=0)


@each_direction
def test_at_high_temperature_it_matches_centred_logits(loss: Loss) -> None:
    # With log p - log q = d / T + constant, KL is half the variance of d / T under nearly uniform p (Taylor, second
    # order), so T^2 KL tends to sum_K (d - mean_K d)^2 / (2 K) with an error of order 1 / T. Hinton et al. 2015,
    # section 2.1, say the same of the gradient.
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    differences_BK = teachers_BK - students_BK
    centred_BK = differences_BK - differences_BK.mean(dim=1, keepdim=True)
    limit = (centred_BK**2).sum() / (2 * K)
    errors = [
        abs(t**2 * loss(students_BK, teachers_BK, temperature=t).sum() / limit - 1).item() for t in (100.0, 1000.0)
    ]
    assert errors[1] < 0.01
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.1)


@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000), loss=st.sampled_from([kl, reverse_kl]))
def test_it_is_not_negative_and_ignores_a_shift_of_all_logits(shift: float, seed: int, loss: Loss) -> None:
    students_BK, teachers_BK = random_logits(seed), random_logits(seed + 1)
    losses_B = loss(students_BK, teachers_BK, temperature=2.0)
    assert (losses_B >= 0).all()
    torch.testing.assert_close(loss(students_BK + shift, teachers_BK - shift, temperature=2.0), losses_B)


@each_direction
def test_logits_that_leave_no_doubt_give_their_distance(loss: Loss) -> None:
    students_BK, teachers_BK = torch.tensor([[1000.0, -1000.0]]), torch.tensor([[-1000.0, 1000.0]])
    assert loss(students_BK, teachers_BK, temperature=1.0).item() == pytest.approx(2000)
