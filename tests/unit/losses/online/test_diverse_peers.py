import pytest
import torch
from torch import Tensor

from peerkd.losses.online.diverse_peers import diverse_peers_loss
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    assert_is,
    assert_no_gradient,
    cross_entropies,
    kl,
    random_logits,
    softened,
)


def random_attention(seed: int, num_auxiliary: int) -> Tensor:
    return random_logits(seed, B, num_auxiliary, num_auxiliary).softmax(dim=-1)


@pytest.mark.parametrize("num_auxiliary", [2, 3])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float, num_auxiliary: int) -> None:
    logits_MBK = random_logits(0, num_auxiliary + 1, B, K).requires_grad_()
    attention_BAA = random_attention(1, num_auxiliary).requires_grad_()
    supervised, distilled = diverse_peers_loss(
        logits_MBK, LABELS_B, attention_BAA=attention_BAA, temperature=temperature
    )
    teachers, attention = logits_MBK.tolist(), attention_BAA.tolist()
    auxiliary = range(num_auxiliary)

    def first_level(students: Branches, weights: Branches) -> float:
        total = 0.0
        for a in auxiliary:
            for i in range(B):
                target = [0.0] * K
                for other in auxiliary:
                    for k in range(K):
                        target[k] += weights[i][a][other] * softened(teachers[other][i], temperature)[k]
                total += kl(target, softened(students[a][i], temperature))
        return temperature**2 * total / B

    def second_level(students: Branches) -> float:
        total = 0.0
        for i in range(B):
            target = [
                sum(softened(teachers[other][i], temperature)[k] for other in auxiliary) / num_auxiliary
                for k in range(K)
            ]
            total += kl(target, softened(students[-1][i], temperature))
        return temperature**2 * total / B

    assert list(supervised) == ["cross_entropy_branches"]
    assert list(distilled) == ["attention_to_branches", "branches_to_leader"]
    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(distilled["attention_to_branches"], lambda students: first_level(students, attention), logits_MBK)
    assert_is(distilled["attention_to_branches"], lambda weights: first_level(teachers, weights), attention_BAA)
    assert_is(distilled["branches_to_leader"], second_level, logits_MBK)
    assert_no_gradient(distilled["branches_to_leader"], attention_BAA)
    assert_no_gradient(supervised["cross_entropy_branches"], attention_BAA)


def test_the_leader_is_not_a_teacher() -> None:
    logits_MBK = random_logits(0).requires_grad_()
    attention_BAA = random_attention(1, 2)
    changed_MBK = logits_MBK.detach().clone()
    changed_MBK[-1] = random_logits(2, B, K)
    changed_MBK.requires_grad_()
    parts, changed = (
        diverse_peers_loss(each_MBK, LABELS_B, attention_BAA=attention_BAA, temperature=3.0).distilled
        for each_MBK in (logits_MBK, changed_MBK)
    )
    assert parts["attention_to_branches"].equal(changed["attention_to_branches"])
    (gradient_MBK,) = torch.autograd.grad(parts["attention_to_branches"], logits_MBK)
    assert gradient_MBK[-1].abs().max() == 0
    (gradient_MBK,) = torch.autograd.grad(parts["branches_to_leader"], logits_MBK)
    assert gradient_MBK[:-1].abs().max() == 0


def test_the_rows_of_the_attention_are_the_students() -> None:
    # The first branch attends only to the second, and the second only to itself, so the second has nothing to learn.
    logits_MBK = random_logits(0).requires_grad_()
    attention_BAA = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64).expand(B, 2, 2)
    part = diverse_peers_loss(logits_MBK, LABELS_B, attention_BAA=attention_BAA, temperature=3.0).distilled[
        "attention_to_branches"
    ]
    (gradient_MBK,) = torch.autograd.grad(part, logits_MBK)
    assert gradient_MBK[0].abs().max() > 0.01
    assert gradient_MBK[1].abs().max() < 1e-15


def test_attention_to_one_branch_gives_a_finite_loss_and_gradient() -> None:
    logits_MBK = torch.tensor([[[1000.0, -1000.0]], [[-1000.0, 1000.0]], [[0.0, 0.0]]], requires_grad=True)
    attention_BAA = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], requires_grad=True)
    parts = diverse_peers_loss(logits_MBK, torch.tensor([0]), attention_BAA=attention_BAA, temperature=1.0)
    assert parts.distilled["attention_to_branches"].item() == pytest.approx(2000)
    gradients = torch.autograd.grad(parts.total(1.0), [logits_MBK, attention_BAA])
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_fewer_than_three_branches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^num_branches must be at least 3, got 2\.$"):
        diverse_peers_loss(random_logits(0, 2, B, K), LABELS_B, attention_BAA=random_attention(0, 1), temperature=1.0)


@pytest.mark.parametrize("shape", [(B, 3, 3), (B, 2), (1, 2, 2), (2, 2, B)])
def test_an_attention_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^attention_BAA must have the shape \(4, 2, 2\), got \(.*\)\.$"):
        diverse_peers_loss(random_logits(0), LABELS_B, attention_BAA=torch.ones(shape), temperature=1.0)
