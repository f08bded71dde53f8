import re

import pytest
import torch

from peerkd.losses.online.pcl import pcl_loss
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
    cross_entropy,
    random_logits,
    teaching,
)


@pytest.mark.parametrize("num_branches", [2, M])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float, num_branches: int) -> None:
    logits_MBK = random_logits(0, num_branches, B, K).requires_grad_()
    ensemble_BK = random_logits(1, B, K).requires_grad_()
    means_MBK = random_logits(2, num_branches, B, K).requires_grad_()
    supervised, distilled = pcl_loss(
        logits_MBK, LABELS_B, ensemble_logits_BK=ensemble_BK, mean_logits_MBK=means_MBK, temperature=temperature
    )
    ensemble, means = ensemble_BK.tolist(), means_MBK.tolist()

    def from_ensemble(students: Branches) -> float:
        return sum(teaching(ensemble, students[j], temperature) for j in range(num_branches))

    def from_means(students: Branches) -> float:
        total = 0.0
        for j in range(num_branches):
            for other in range(num_branches):
                if other != j:
                    total += teaching(means[other], students[j], temperature) / (num_branches - 1)
        return total

    assert list(supervised) == ["cross_entropy_branches", "cross_entropy_ensemble"]
    assert list(distilled) == ["ensemble_to_branches", "means_to_branches"]
    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(supervised["cross_entropy_ensemble"], cross_entropy, ensemble_BK)
    assert_is(distilled["ensemble_to_branches"], from_ensemble, logits_MBK)
    assert_is(distilled["means_to_branches"], from_means, logits_MBK)
    for part in distilled.values():
        assert_no_gradient(part, ensemble_BK)
        assert_no_gradient(part, means_MBK)
    assert_no_gradient(supervised["cross_entropy_branches"], ensemble_BK)
    assert_no_gradient(supervised["cross_entropy_ensemble"], logits_MBK)


def test_a_branch_is_not_taught_by_its_own_mean() -> None:
    # Each branch agrees with the moving average of the other, and neither agrees with its own.
    means_MBK = random_logits(0, 2, B, K)
    parts = pcl_loss(
        means_MBK.flip(0).clone(), LABELS_B, ensemble_logits_BK=None, mean_logits_MBK=means_MBK, temperature=3.0
    )
    assert parts.distilled["means_to_branches"].abs() < 1e-14
    own = pcl_loss(means_MBK, LABELS_B, ensemble_logits_BK=None, mean_logits_MBK=means_MBK, temperature=3.0)
    assert own.distilled["means_to_branches"] > 1


def test_the_ensemble_learns_from_labels_alone() -> None:
    ensemble_BK = random_logits(1, B, K).requires_grad_()
    parts = pcl_loss(
        random_logits(0).requires_grad_(),
        LABELS_B,
        ensemble_logits_BK=ensemble_BK,
        mean_logits_MBK=random_logits(2),
        temperature=3.0,
    )
    with_distillation, without = (torch.autograd.grad(parts.total(w), ensemble_BK, retain_graph=True) for w in (5, 0))
    assert torch.equal(with_distillation[0], without[0])
    assert without[0].abs().max() > 0


@pytest.mark.parametrize("with_ensemble", [True, False])
@pytest.mark.parametrize("with_means", [True, False])
def test_an_ablation_omits_its_parts_and_changes_no_others(with_ensemble: bool, with_means: bool) -> None:
    ensemble_BK, means_MBK = random_logits(1, B, K), random_logits(2)
    whole = pcl_loss(
        random_logits(0), LABELS_B, ensemble_logits_BK=ensemble_BK, mean_logits_MBK=means_MBK, temperature=3.0
    )
    parts = pcl_loss(
        random_logits(0),
        LABELS_B,
        ensemble_logits_BK=ensemble_BK if with_ensemble else None,
        mean_logits_MBK=means_MBK if with_means else None,
        temperature=3.0,
    )
    assert parts.supervised.keys() == {"cross_entropy_branches"} | (
        {"cross_entropy_ensemble"} if with_ensemble else set()
    )
    assert parts.distilled.keys() == ({"ensemble_to_branches"} if with_ensemble else set()) | (
        {"means_to_branches"} if with_means else set()
    )
    assert parts.supervised.items() <= whole.supervised.items()
    assert parts.distilled.items() <= whole.distilled.items()


@pytest.mark.parametrize(
    ("num_branches", "temperature", "message"),
    [
        (1, 1.0, "num_branches must be at least 2, got 1."),
        (2, 0.0, "temperature must be above 0, got 0.0."),
        (2, -1.0, "temperature must be above 0, got -1.0."),
    ],
)
@pytest.mark.parametrize("with_ensemble", [True, False])
@pytest.mark.parametrize("with_means", [True, False])
def test_too_few_branches_are_refused_in_every_ablation(
    with_means: bool, with_ensemble: bool, num_branches: int, temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pcl_loss(
            random_logits(0, num_branches, B, K),
            LABELS_B,
            ensemble_logits_BK=random_logits(1, B, K) if with_ensemble else None,
            mean_logits_MBK=random_logits(2, num_branches, B, K) if with_means else None,
            temperature=temperature,
        )
