import math

import pytest
import torch
import torch.nn.functional as F

from peerkd.losses.online.branches import (
    check_collaboration,
    cross_entropy_of_branches,
    divergence_from_others,
    divergence_from_probabilities,
    divergence_from_teacher,
    mean_of_others,
)
from peerkd.losses.pairs.term import HINTON
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    M,
    assert_is,
    assert_no_gradient,
    cross_entropies,
    kl,
    random_logits,
    softened,
    teaching,
)

on_temperatures = pytest.mark.parametrize("temperature", TEMPERATURES)


def test_the_cross_entropy_is_summed_over_branches_and_averaged_over_the_batch() -> None:
    logits_MBK = random_logits(0).requires_grad_()
    assert_is(cross_entropy_of_branches(logits_MBK, LABELS_B), cross_entropies, logits_MBK)


@pytest.mark.parametrize("seed", range(20))
def test_the_cross_entropy_of_one_branch_equals_the_plain_one_bit_for_bit(seed: int) -> None:
    logits_BK = random_logits(seed, 7, 10).float()
    labels_B = torch.arange(7)
    branch_MBK, plain_BK = logits_BK[None].clone().requires_grad_(), logits_BK.clone().requires_grad_()
    branch, plain = cross_entropy_of_branches(branch_MBK, labels_B), F.cross_entropy(plain_BK, labels_B)
    assert branch.item() == plain.item()
    assert torch.equal(torch.autograd.grad(branch, branch_MBK)[0][0], torch.autograd.grad(plain, plain_BK)[0])


def test_the_mean_of_others_excludes_the_branch_itself() -> None:
    values_MBK = torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    assert mean_of_others(values_MBK).flatten().tolist() == [55.0, 50.5, 5.5]


@on_temperatures
def test_one_teacher_teaches_every_branch(temperature: float) -> None:
    logits_MBK, teacher_BK = random_logits(0).requires_grad_(), random_logits(1, B, K).requires_grad_()
    divergence = divergence_from_teacher(logits_MBK, teacher_logits=teacher_BK, temperature=temperature)

    def written_out(students: Branches) -> float:
        return sum(teaching(teacher_BK.tolist(), student, temperature) for student in students)

    assert_is(divergence, written_out, logits_MBK)
    assert_no_gradient(divergence, teacher_BK)


@on_temperatures
def test_each_branch_can_have_its_own_teacher(temperature: float) -> None:
    logits_MBK, teachers_MBK = random_logits(0).requires_grad_(), random_logits(1).requires_grad_()
    divergence = divergence_from_teacher(logits_MBK, teacher_logits=teachers_MBK, temperature=temperature)

    def written_out(students: Branches) -> float:
        return sum(
            teaching(teacher, student, temperature)
            for teacher, student in zip(teachers_MBK.tolist(), students, strict=True)
        )

    assert_is(divergence, written_out, logits_MBK)
    assert_no_gradient(divergence, teachers_MBK)


def test_for_one_branch_it_is_the_divergence_of_distillation() -> None:
    student_BK, teacher_BK = random_logits(0, B, K), random_logits(1, B, K)
    torch.testing.assert_close(
        divergence_from_teacher(student_BK[None], teacher_logits=teacher_BK, temperature=3.0),
        HINTON.reduced(student_BK, teacher_BK, labels_B=None, temperature=3.0),
    )


@pytest.mark.parametrize("num_branches", [2, 3, 5])
@on_temperatures
def test_every_branch_is_taught_by_all_other_teachers(num_branches: int, temperature: float) -> None:
    logits_MBK = random_logits(0, num_branches, B, K).requires_grad_()
    teachers_MBK = random_logits(1, num_branches, B, K).requires_grad_()
    divergence = divergence_from_others(logits_MBK, teacher_logits_MBK=teachers_MBK, temperature=temperature)
    teachers = teachers_MBK.tolist()

    def written_out(students: Branches) -> float:
        total = 0.0
        for j in range(num_branches):
            for other in range(num_branches):
                if other != j:
                    total += teaching(teachers[other], students[j], temperature) / (num_branches - 1)
        return total

    assert_is(divergence, written_out, logits_MBK)
    assert_no_gradient(divergence, teachers_MBK)


def test_a_teacher_does_not_reach_the_branch_of_its_own_place_but_all_others() -> None:
    logits_MBK, teachers_MBK = random_logits(0).requires_grad_(), random_logits(1)
    changed_MBK = teachers_MBK.clone()
    changed_MBK[1] = random_logits(2, B, K)
    before_MBK, after_MBK = (
        torch.autograd.grad(
            divergence_from_others(logits_MBK, teacher_logits_MBK=each_MBK, temperature=3.0), logits_MBK
        )[0]
        for each_MBK in (teachers_MBK, changed_MBK)
    )
    moved_M = (after_MBK - before_MBK).abs().amax(dim=(1, 2))
    assert moved_M[1] < 1e-15
    assert moved_M[0] > 0.01
    assert moved_M[2] > 0.01


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_the_sum_of_single_pairs_is_the_same_in_float32(scale: float) -> None:
    logits_MBK, teachers_MBK = scale * random_logits(0, 4, 8, 100), scale * random_logits(1, 4, 8, 100)
    one_by_one = sum(
        HINTON.reduced(logits_MBK[j], teachers_MBK[other], labels_B=None, temperature=3.0) / 3
        for j in range(4)
        for other in range(4)
        if other != j
    )
    together = divergence_from_others(logits_MBK.float(), teacher_logits_MBK=teachers_MBK.float(), temperature=3.0)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.double(), one_by_one, rtol=2e-6, atol=0)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_teachers_that_nearly_agree_lose_no_precision(scale: float) -> None:
    teachers_MBK = (scale * random_logits(0, 1, 8, 100)).expand(3, 8, 100)
    logits_MBK = (teachers_MBK + 0.01 * random_logits(1, 3, 8, 100)).float()
    teachers_MBK = teachers_MBK.float()
    exact = divergence_from_others(logits_MBK.double(), teacher_logits_MBK=teachers_MBK.double(), temperature=3.0)
    rounded = divergence_from_others(logits_MBK, teacher_logits_MBK=teachers_MBK, temperature=3.0)
    assert exact < 1e-2
    assert abs(rounded - exact) < 2e-5


def test_certain_teachers_give_a_finite_divergence_and_gradient() -> None:
    logits_MBK = torch.tensor([[[1000.0, -1000.0]], [[-1000.0, 1000.0]]], requires_grad=True)
    divergence = divergence_from_others(logits_MBK, teacher_logits_MBK=logits_MBK, temperature=1.0)
    assert divergence.item() == pytest.approx(4000)
    (gradient,) = torch.autograd.grad(divergence, logits_MBK)
    assert gradient.tolist() == [[[1, -1]], [[-1, 1]]]


@on_temperatures
def test_gradients_flow_into_branches_and_target_probabilities(temperature: float) -> None:
    logits_MBK = random_logits(0).requires_grad_()
    # Moderate logits, because finite differences are inaccurate if a probability is close to 0.
    targets_MBK = (0.3 * random_logits(1)).softmax(dim=-1).requires_grad_()

    def written_out(students: Branches, targets: Branches) -> float:
        total = 0.0
        for j in range(M):
            for i in range(B):
                total += kl(targets[j][i], softened(students[j][i], temperature)) / B
        return temperature**2 * total

    divergence = divergence_from_probabilities(logits_MBK, targets=targets_MBK, temperature=temperature)
    assert_is(divergence, lambda students: written_out(students, targets_MBK.tolist()), logits_MBK)
    assert_is(divergence, lambda targets: written_out(logits_MBK.tolist(), targets), targets_MBK)


def test_a_probability_of_zero_has_no_term_and_no_gradient() -> None:
    logits_MBK = torch.tensor([[[2.0, 1.0, 0.0]]], requires_grad=True)
    targets_BK = torch.tensor([[0.25, 0.75, 0.0]], requires_grad=True)
    divergence = divergence_from_probabilities(logits_MBK, targets=targets_BK, temperature=1.0)
    probs = softened([2.0, 1.0, 0.0], 1.0)
    by_hand = 0.25 * math.log(0.25 / probs[0]) + 0.75 * math.log(0.75 / probs[1])
    assert divergence.item() == pytest.approx(by_hand, rel=1e-6)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(divergence, [logits_MBK, targets_BK]))


def test_too_few_branches_and_a_temperature_not_above_zero_are_refused() -> None:
    check_collaboration(random_logits(0, 2, B, K), temperature=0.1)
    check_collaboration(random_logits(0, 1, B, K), temperature=0.1, least_branches=1)
    with pytest.raises(ValueError, match=r"^num_branches must be at least 3, got 2\.$"):
        check_collaboration(random_logits(0, 2, B, K), temperature=1.0, least_branches=3)
    for temperature in (0.0, -1.0):
        with pytest.raises(ValueError, match=rf"^temperature must be above 0, got {temperature}\.$"):
            check_collaboration(random_logits(0), temperature=temperature)
