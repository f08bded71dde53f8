import math

import pytest
import torch

from peerkd.losses.online.collaborative import collaborative_loss
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    assert_is,
    cross_entropies,
    random_logits,
    softened,
    teaching,
)


@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("num_branches", [2, 3, 4])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float, num_branches: int, beta: float) -> None:
    logits_MBK = random_logits(0, num_branches, B, K).requires_grad_()
    supervised, distilled = collaborative_loss(logits_MBK, LABELS_B, temperature=temperature, cross_entropy_weight=beta)
    teachers = logits_MBK.tolist()

    def from_others(students: Branches) -> float:
        total = 0.0
        for j in range(num_branches):
            target_BK = [[0.0] * K for _ in range(B)]
            for i in range(B):
                for k in range(K):
                    others = [teachers[other][i][k] for other in range(num_branches) if other != j]
                    target_BK[i][k] = sum(others) / len(others)
            total += (1 - beta) * teaching(target_BK, students[j], temperature)
        return total

    assert list(supervised) == ["cross_entropy_branches"]
    assert list(distilled) == ["others_to_branches"]
    assert_is(supervised["cross_entropy_branches"], lambda students: beta * cross_entropies(students), logits_MBK)
    assert_is(distilled["others_to_branches"], from_others, logits_MBK)


def test_the_soft_cross_entropy_of_the_paper_has_the_same_gradient() -> None:
    logits_MBK = random_logits(0).requires_grad_()
    part = collaborative_loss(logits_MBK, LABELS_B, temperature=3.0, cross_entropy_weight=0.5).distilled[
        "others_to_branches"
    ]
    soft_cross_entropy = torch.zeros((), dtype=torch.float64)
    for j in range(3):
        for i in range(B):
            others = [logits_MBK[other, i].detach() for other in range(3) if other != j]
            target_K = ((others[0] + others[1]) / 2 / 3.0).softmax(dim=-1)
            log_probs_K = (logits_MBK[j, i] / 3.0).log_softmax(dim=-1)
            soft_cross_entropy = soft_cross_entropy - 0.5 * 3.0**2 * (target_K * log_probs_K).sum() / B
    assert (soft_cross_entropy - part).abs() > 1
    torch.testing.assert_close(
        torch.autograd.grad(part, logits_MBK)[0], torch.autograd.grad(soft_cross_entropy, logits_MBK)[0]
    )


def test_a_head_is_not_part_of_its_own_target() -> None:
    # The logits of the heads are multiples of one pattern. For the third head, the mean of the others is zero.
    pattern_BK = random_logits(0, B, K)
    logits_MBK = torch.stack([pattern_BK, -pattern_BK, 2 * pattern_BK]).requires_grad_()
    part = collaborative_loss(logits_MBK, LABELS_B, temperature=1.0, cross_entropy_weight=0.5).distilled[
        "others_to_branches"
    ]
    (gradient_MBK,) = torch.autograd.grad(part, logits_MBK)
    for i in range(B):
        for k in range(K):
            q = softened(logits_MBK[2, i].tolist(), 1.0)[k]
            assert gradient_MBK[2, i, k].item() == pytest.approx(0.5 * (q - 1 / K) / B)


@pytest.mark.parametrize("beta", [0.0, -0.1, 1.1, math.nan])
def test_a_weight_of_the_cross_entropy_out_of_range_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=rf"^cross_entropy_weight must be above 0 and at most 1, got {beta}\.$"):
        collaborative_loss(random_logits(0), LABELS_B, temperature=1.0, cross_entropy_weight=beta)
