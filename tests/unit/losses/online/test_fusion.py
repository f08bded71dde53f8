import pytest
import torch

from peerkd.losses.online.fusion import fusion_loss
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    M,
    Numbers,
    assert_is,
    assert_no_gradient,
    cross_entropies,
    cross_entropy,
    random_logits,
    teaching,
)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float) -> None:
    logits_MBK, fused_BK = random_logits(0).requires_grad_(), random_logits(1, B, K).requires_grad_()
    supervised, distilled = fusion_loss(logits_MBK, LABELS_B, fused_logits_BK=fused_BK, temperature=temperature)
    branches, fused = logits_MBK.tolist(), fused_BK.tolist()

    def from_fused(students: Branches) -> float:
        return sum(teaching(fused, student, temperature) for student in students)

    def to_fused(student: list[Numbers]) -> float:
        mean_BK = [[sum(branches[j][i][k] for j in range(M)) / M for k in range(K)] for i in range(B)]
        return teaching(mean_BK, student, temperature)

    assert list(supervised) == ["cross_entropy_branches", "cross_entropy_fused"]
    assert list(distilled) == ["fused_to_branches", "branches_to_fused"]
    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(supervised["cross_entropy_fused"], cross_entropy, fused_BK)
    assert_is(distilled["fused_to_branches"], from_fused, logits_MBK)
    assert_is(distilled["branches_to_fused"], to_fused, fused_BK)
    assert_no_gradient(distilled["fused_to_branches"], fused_BK)
    assert_no_gradient(distilled["branches_to_fused"], logits_MBK)


def test_a_fused_classifier_that_is_the_mean_of_logits_has_nothing_to_learn() -> None:
    logits_MBK = random_logits(0)
    fused_BK = logits_MBK.mean(dim=0).requires_grad_()
    part = fusion_loss(logits_MBK, LABELS_B, fused_logits_BK=fused_BK, temperature=3.0).distilled["branches_to_fused"]
    assert part.abs() < 1e-14
    assert torch.autograd.grad(part, fused_BK)[0].abs().max() < 1e-14
