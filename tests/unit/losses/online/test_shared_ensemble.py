import pytest
import torch

from peerkd.losses.online.shared_ensemble import shared_ensemble_loss, teacher_of_all
from tests.unit.losses.online.written_out import (
    LABELS_B,
    TEMPERATURES,
    B,
    Branches,
    K,
    M,
    Numbers,
    assert_is,
    cross_entropies,
    random_logits,
    softened,
    teaching,
)

ENSEMBLES = ["min_logit", "naive", "mean"]


def teacher_written_out(networks: Branches, ensemble: str) -> list[Numbers]:
    teacher_BK: list[Numbers] = []
    for i, label in enumerate(LABELS_B.tolist()):
        if ensemble == "min_logit":
            teacher = [min(networks[j][i][k] - networks[j][i][label] for j in range(M)) for k in range(K)]
        elif ensemble == "naive":
            best = max(range(M), key=lambda j: softened(networks[j][i], 1.0)[label])
            teacher = networks[best][i]
        else:
            teacher = [sum(networks[j][i][k] for j in range(M)) / M for k in range(K)]
        teacher_BK.append(teacher)
    return teacher_BK


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_parts_equal_the_formulas_in_plain_python(temperature: float, ensemble: str) -> None:
    logits_MBK = random_logits(0).requires_grad_()
    supervised, distilled = shared_ensemble_loss(logits_MBK, LABELS_B, temperature=temperature, ensemble=ensemble)
    teacher_BK = teacher_written_out(logits_MBK.tolist(), ensemble)

    def from_teacher(students: Branches) -> float:
        return sum(teaching(teacher_BK, student, temperature) for student in students)

    assert list(supervised) == ["cross_entropy_branches"]
    assert list(distilled) == ["ensemble_to_branches"]
    assert_is(supervised["cross_entropy_branches"], cross_entropies, logits_MBK)
    assert_is(distilled["ensemble_to_branches"], from_teacher, logits_MBK)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("seed", range(5))
def test_the_teacher_follows_the_rule_and_is_a_constant(seed: int, ensemble: str) -> None:
    logits_MBK = random_logits(seed).requires_grad_()
    teacher_BK = teacher_of_all(logits_MBK, LABELS_B, ensemble=ensemble)
    assert not teacher_BK.requires_grad
    expected_BK = torch.tensor(teacher_written_out(logits_MBK.tolist(), ensemble), dtype=torch.float64)
    torch.testing.assert_close(teacher_BK, expected_BK)


def test_the_smallest_logit_is_taken_after_that_of_the_label_is_subtracted() -> None:
    logits_MBK = torch.tensor([[[5.0, 1.0, 9.0]], [[1.0, 0.0, 2.0]]])
    teacher_BK = teacher_of_all(logits_MBK, torch.tensor([0]), ensemble="min_logit")
    assert teacher_BK.tolist() == [[0.0, -4.0, 1.0]]


def test_no_network_is_more_certain_of_the_label_than_the_min_logit_teacher() -> None:
    logits_MBK = random_logits(0)
    at = (torch.arange(B), LABELS_B)
    teacher_B = teacher_of_all(logits_MBK, LABELS_B, ensemble="min_logit").softmax(dim=-1)[at]
    for network_BK in logits_MBK:
        assert (teacher_B >= network_BK.softmax(dim=-1)[at]).all()


def test_the_naive_teacher_is_chosen_by_the_cross_entropy_not_by_the_logit_of_the_label() -> None:
    # The first network has the larger logit of the label, the second the larger probability.
    logits_MBK = torch.tensor([[[5.0, 9.0]], [[1.0, 0.0]]])
    assert teacher_of_all(logits_MBK, torch.tensor([0]), ensemble="naive").tolist() == [[1.0, 0.0]]


def test_an_unknown_ensemble_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^ensemble must be min_logit, naive or mean, got linear\.$"):
        shared_ensemble_loss(random_logits(0), LABELS_B, temperature=1.0, ensemble="linear")
