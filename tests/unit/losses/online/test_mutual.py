import pytest
import torch

from peerkd.losses.online.mutual import mutual_loss
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    assert_is,
    cross_entropies,
    random_logits,
    teaching,
)


@pytest.mark.parametrize("num_branches", [2, 3, 4])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float, num_branches: int) -> None:
    logits_MBK = random_logits(0, num_branches, B, K).requires_grad_()
    supervised, distilled = mutual_loss(logits_MBK, LABELS_B, temperature=temperature)
    teachers = logits_MBK.tolist()

    def from_others(students: Branches) -> float:
        # The teachers are fixed, so that finite differences give the gradient of the students alone.
        total = 0.0
        for j in range(num_branches):
            for other in range(num_branches):
                if other != j:
                    total += teaching(teachers[other], students[j], temperature) / (num_branches - 1)
        return total

    assert list(supervised) == ["cross_entropy_branches"]
    assert list(distilled) == ["branches_to_branches"]
    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(distilled["branches_to_branches"], from_others, logits_MBK)


def test_two_networks_have_opposite_gradients() -> None:
    # At T = 1 the gradient of KL(p || q) in the logits of q is q - p, so those of two networks are opposite.
    logits_MBK = random_logits(0, 2, B, K).requires_grad_()
    part = mutual_loss(logits_MBK, LABELS_B, temperature=1.0).distilled["branches_to_branches"]
    (gradient_MBK,) = torch.autograd.grad(part, logits_MBK)
    probs_MBK = logits_MBK.detach().softmax(dim=-1)
    torch.testing.assert_close(gradient_MBK[0], (probs_MBK[0] - probs_MBK[1]) / B)
    torch.testing.assert_close(gradient_MBK[1], -gradient_MBK[0])


def test_networks_that_agree_have_nothing_to_teach() -> None:
    logits_MBK = random_logits(0, 1, B, K).float().repeat(3, 1, 1).requires_grad_()
    part = mutual_loss(logits_MBK, LABELS_B, temperature=3.0).distilled["branches_to_branches"]
    assert part.abs() < 1e-5
    assert torch.autograd.grad(part, logits_MBK)[0].abs().max() < 1e-6
