"""DKD against its definition in plain Python, and against the KL divergence that it takes apart."""

import pytest
import torch

from peerkd.losses.pairs.dkd import check, dkd
from peerkd.losses.pairs.kl import kl
from tests.pair_losses import divergence, random_logits, softmax

LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])


def without(probs: list[float], label: int) -> list[float]:
    return [each / (1 - probs[label]) for k, each in enumerate(probs) if k != label]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_formula_written_out(temperature: float) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    expected = []
    for student, teacher, y in zip(students_BK.tolist(), teachers_BK.tolist(), LABELS_B.tolist(), strict=True):
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        tckd = divergence([p[y], 1 - p[y]], [q[y], 1 - q[y]])
        expected.append(2 * tckd + 3 * divergence(without(p, y), without(q, y)))
    found_B = dkd(
        students_BK, teachers_BK, temperature=temperature, labels_B=LABELS_B, tckd_weight=2.0, nckd_weight=3.0
    )
    assert found_B.tolist() == pytest.approx(expected, rel=1e-10)


def test_with_the_weights_1_and_1_minus_the_teachers_confidence_it_is_the_kl_divergence() -> None:
    # Zhao et al. 2022, equation 5.
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    others_B = 1 - (teachers_BK / 2).softmax(-1).gather(-1, LABELS_B[:, None]).squeeze(-1)
    tckd_B, nckd_B = (
        dkd(students_BK, teachers_BK, temperature=2.0, labels_B=LABELS_B, tckd_weight=weight, nckd_weight=1 - weight)
        for weight in (1.0, 0.0)
    )
    torch.testing.assert_close(tckd_B + others_B * nckd_B, kl(students_BK, teachers_BK, temperature=2.0))


def test_of_two_classes_only_the_part_about_the_label_is_left() -> None:
    students_BK, teachers_BK = random_logits(0, num_classes=2), random_logits(1, num_classes=2)
    labels_B = LABELS_B % 2
    found_B = dkd(students_BK, teachers_BK, temperature=1.0, labels_B=labels_B, tckd_weight=1.0, nckd_weight=8.0)
    torch.testing.assert_close(found_B, kl(students_BK, teachers_BK, temperature=1.0))


def test_a_sure_teacher_still_tells_the_other_classes_apart() -> None:
    # 1 - p_y is 0 in float32.
    teachers_BK, students_BK = torch.tensor([[60.0, 2.0, 0.0]]), torch.zeros(1, 3)
    found_B = dkd(
        students_BK, teachers_BK, temperature=1.0, labels_B=torch.tensor([0]), tckd_weight=0.0, nckd_weight=1.0
    )
    assert found_B.tolist() == pytest.approx([divergence(softmax([2.0, 0.0]), [0.5, 0.5])], rel=1e-6)


def test_weights_that_are_both_zero_are_refused() -> None:
    check(tckd_weight=0.0, nckd_weight=1.0)
    check(tckd_weight=1.0, nckd_weight=0.0)
    with pytest.raises(ValueError, match=r"^tckd_weight and nckd_weight must not both be 0, got 0 and 0: D would be"):
        check(tckd_weight=0.0, nckd_weight=0.0)
