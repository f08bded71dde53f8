import pytest
import torch

from peerkd.losses.online.native_ensemble import native_ensemble_loss
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    assert_is,
    assert_no_gradient,
    cross_entropies,
    cross_entropy,
    random_logits,
    teaching,
)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float) -> None:
    logits_MBK, ensemble_BK = random_logits(0).requires_grad_(), random_logits(1, B, K).requires_grad_()
    supervised, distilled = native_ensemble_loss(
        logits_MBK, LABELS_B, ensemble_logits_BK=ensemble_BK, temperature=temperature
    )
    ensemble = ensemble_BK.tolist()

    def from_ensemble(students: Branches) -> float:
        return sum(teaching(ensemble, student, temperature) for student in students)

    assert list(supervised) == ["cross_entropy_branches", "cross_entropy_ensemble"]
    assert list(distilled) == ["ensemble_to_branches"]
    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(supervised["cross_entropy_ensemble"], cross_entropy, ensemble_BK)
    assert_is(distilled["ensemble_to_branches"], from_ensemble, logits_MBK)
    assert_no_gradient(distilled["ensemble_to_branches"], ensemble_BK)


def test_no_gradient_flows_through_the_ensemble_as_teacher() -> None:
    logits_MBK = random_logits(0).requires_grad_()
    ensemble_BK = logits_MBK.mean(dim=0)
    through_MBK, constant_MBK = (
        torch.autograd.grad(
            native_ensemble_loss(logits_MBK, LABELS_B, ensemble_logits_BK=each_BK, temperature=3.0).distilled[
                "ensemble_to_branches"
            ],
            logits_MBK,
        )[0]
        for each_BK in (ensemble_BK, ensemble_BK.detach())
    )
    assert through_MBK.equal(constant_MBK)
