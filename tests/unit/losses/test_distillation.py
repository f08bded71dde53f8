import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from peerkd.losses.distillation import joint_loss, softened_divergence

DIRECTIONS = ["teacher_to_student", "student_to_teacher"]
REDUCTIONS = ["batchmean", "mean"]
B, K = 6, 5


def random_logits(seed: int, *, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(B, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_temperature_may_be_a_tensor(direction: str) -> None:
    one, other = (
        softened_divergence(random_logits(0), random_logits(1), temperature=temperature, direction=direction)
        for temperature in (1.3, torch.tensor(1.3, dtype=torch.float64))
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_divergence_is_the_formula_written_out(
    direction: str, reduction: str, scaled: bool, temperature: float
) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    total = 0.0
    for student, teacher in zip(students_BK.tolist(), teachers_BK.tolist(), strict=True):
        q = softmax([logit / temperature for logit in student])
        p = softmax([logit / temperature for logit in teacher])
        if direction == "student_to_teacher":
            p, q = q, p
        total += sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))
    expected = total / (B if reduction == "batchmean" else B * K)
    if scaled:
        expected *= temperature**2
    actual = softened_divergence(
        students_BK,
        teachers_BK,
        temperature=temperature,
        direction=direction,
        reduction=reduction,
        scale_by_temperature_squared=scaled,
    )
    assert actual.shape == ()
    assert actual.item() == pytest.approx(expected, rel=1e-12)


def test_the_defaults_are_those_of_hinton() -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    assert softened_divergence(students_BK, teachers_BK, temperature=3.0) == softened_divergence(
        students_BK,
        teachers_BK,
        temperature=3.0,
        direction="teacher_to_student",
        reduction="batchmean",
        scale_by_temperature_squared=True,
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_batchmean_does_not_change_when_the_batch_is_repeated(direction: str) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    once = softened_divergence(students_BK, teachers_BK, temperature=2.0, direction=direction)
    thrice = softened_divergence(
        students_BK.repeat(3, 1), teachers_BK.repeat(3, 1), temperature=2.0, direction=direction
    )
    torch.testing.assert_close(thrice, once)


def test_mean_is_as_many_times_smaller_as_there_are_classes() -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    batchmean = softened_divergence(students_BK, teachers_BK, temperature=2.0)
    mean = softened_divergence(students_BK, teachers_BK, temperature=2.0, reduction="mean")
    torch.testing.assert_close(mean * K, batchmean)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_no_gradient_flows_to_the_teacher(direction: str) -> None:
    students_BK, teachers_BK = random_logits(0).requires_grad_(), random_logits(1).requires_grad_()
    softened_divergence(students_BK, teachers_BK, temperature=2.0, direction=direction).backward()
    assert teachers_BK.grad is None
    assert students_BK.grad is not None
    assert students_BK.grad.abs().max() > 0.01


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_teacher_that_the_student_equals_leaves_it_alone(direction: str) -> None:
    students_BK = random_logits(0).requires_grad_()
    loss = joint_loss(
        students_BK,
        labels_B=None,
        teacher_logits_BK=students_BK.detach().clone(),
        distillation_weight=1.0,
        temperature=4.0,
        direction=direction,
    )
    loss.backward()
    assert loss.item() == 0
    torch.testing.assert_close(students_BK.grad, torch.zeros(B, K, dtype=torch.float64), atol=1e-15, rtol=0)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_at_high_temperature_the_divergence_matches_centred_logits(direction: str) -> None:
    # With log p - log q = d / T + constant, KL is half the variance of d / T under nearly uniform p (Taylor, second
    # order), so T^2 KL tends to sum_K (d - mean_K d)^2 / (2 K) with an error of order 1 / T. Hinton et al. 2015,
    # section 2.1, say the same of the gradient.
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    differences_BK = teachers_BK - students_BK
    centred_BK = differences_BK - differences_BK.mean(dim=1, keepdim=True)
    limit = (centred_BK**2).sum(dim=1).mean() / (2 * K)
    errors = [
        abs(softened_divergence(students_BK, teachers_BK, temperature=t, direction=direction) / limit - 1).item()
        for t in (100.0, 1000.0)
    ]
    assert errors[1] < 0.01
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.1)


def test_the_factor_keeps_gradients_of_one_magnitude_across_temperatures() -> None:
    def gradient_norm(temperature: float, *, scaled: bool) -> float:
        students_BK = random_logits(0).requires_grad_()
        softened_divergence(
            students_BK, random_logits(1), temperature=temperature, scale_by_temperature_squared=scaled
        ).backward()
        assert students_BK.grad is not None
        return students_BK.grad.norm().item()

    assert gradient_norm(200, scaled=True) == pytest.approx(gradient_norm(20, scaled=True), rel=0.2)
    assert gradient_norm(200, scaled=False) == pytest.approx(gradient_norm(20, scaled=False) / 100, rel=0.2)


@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000), direction=st.sampled_from(DIRECTIONS))
def test_the_divergence_is_not_negative_and_does_not_see_a_shift_of_all_logits(
    shift: float, seed: int, direction: str
) -> None:
    students_BK, teachers_BK = random_logits(seed), random_logits(seed + 1)
    divergence = softened_divergence(students_BK, teachers_BK, temperature=2.0, direction=direction)
    shifted = softened_divergence(students_BK + shift, teachers_BK - shift, temperature=2.0, direction=direction)
    assert divergence >= 0
    torch.testing.assert_close(shifted, divergence)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_logits_that_leave_no_doubt_give_a_finite_loss_and_gradient(direction: str) -> None:
    students_BK = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    teachers_BK = torch.tensor([[-1000.0, 1000.0]])
    loss = softened_divergence(students_BK, teachers_BK, temperature=1.0, direction=direction)
    loss.backward()
    assert loss.item() == pytest.approx(2000)
    assert students_BK.grad is not None
    assert students_BK.grad.isfinite().all()


@given(weight=st.floats(0, 1), temperature=st.sampled_from([0.5, 1.0, 8.0]))
def test_the_joint_loss_is_the_weighted_sum(weight: float, temperature: float) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    conventions: dict[str, Any] = {"direction": "student_to_teacher", "reduction": "mean"}
    loss = joint_loss(
        students_BK,
        labels_B=LABELS_B,
        teacher_logits_BK=teachers_BK,
        distillation_weight=weight,
        temperature=temperature,
        scale_by_temperature_squared=False,
        **conventions,
    )
    divergence = softened_divergence(
        students_BK, teachers_BK, temperature=temperature, scale_by_temperature_squared=False, **conventions
    )
    expected = weight * divergence + (1 - weight) * F.cross_entropy(students_BK, LABELS_B)
    torch.testing.assert_close(loss, expected)


def test_without_distillation_the_loss_is_the_cross_entropy_to_the_last_bit() -> None:
    students_BK = random_logits(0).float()
    loss = joint_loss(students_BK, labels_B=LABELS_B, teacher_logits_BK=None, distillation_weight=0.0, temperature=None)
    assert loss.item() == F.cross_entropy(students_BK, LABELS_B).item()
    told = joint_loss(
        students_BK,
        labels_B=LABELS_B,
        teacher_logits_BK=torch.full((B, K), math.nan),
        distillation_weight=0.0,
        temperature=2.0,
    )
    assert told.item() == loss.item()


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=rf"^temperature must be above 0, got {temperature}\.$"):
        softened_divergence(random_logits(0), random_logits(1), temperature=temperature)


@pytest.mark.parametrize(
    ("convention", "message"),
    [
        ("direction", "direction must be teacher_to_student or student_to_teacher, got sum."),
        ("reduction", "reduction must be batchmean or mean, got sum."),
    ],
)
def test_an_unknown_convention_is_refused(convention: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        softened_divergence(random_logits(0), random_logits(1), temperature=1.0, **{convention: "sum"})


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_outside_zero_to_one_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=rf"^distillation_weight must be from 0 to 1, got {weight}\.$"):
        joint_loss(
            random_logits(0),
            labels_B=LABELS_B,
            teacher_logits_BK=random_logits(1),
            distillation_weight=weight,
            temperature=1.0,
        )


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("teacher_logits_BK", "teacher_logits_BK and temperature are required when distillation_weight is 0.5."),
        ("temperature", "teacher_logits_BK and temperature are required when distillation_weight is 0.5."),
        ("labels_B", "labels_B is required when distillation_weight is 0.5."),
    ],
)
def test_a_term_that_lacks_what_it_is_computed_from_is_refused(lacking: str, message: str) -> None:
    given: dict[str, Any] = {"labels_B": LABELS_B, "teacher_logits_BK": random_logits(1), "temperature": 1.0}
    with pytest.raises(ValueError, match=f"^{message}$"):
        joint_loss(random_logits(0), distillation_weight=0.5, **{**given, lacking: None})
