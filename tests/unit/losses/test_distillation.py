import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from peerkd.losses.distillation import joint_loss
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.term import distillation_term
from tests.pair_losses import WEIGHTED_BRIER, random_logits

B, K = 6, 5


LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])
TERMS = [
    distillation_term(PAIR_LOSSES["kl"]),
    distillation_term(PAIR_LOSSES["reverse_kl"])._replace(reduction="mean"),
    distillation_term(WEIGHTED_BRIER, trust=0.5)._replace(scale_by_temperature_squared=False),
]


@given(weight=st.floats(0, 1), temperature=st.sampled_from([0.5, 1.0, 8.0]), term=st.sampled_from(TERMS))
def test_the_joint_loss_is_the_weighted_sum(weight: float, temperature: float, term: Any) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)
    loss = joint_loss(
        students_BK,
        labels_B=LABELS_B,
        teacher_logits_BK=teachers_BK,
        distillation_weight=weight,
        temperature=temperature,
        term=term,
    )
    distilled = term.reduced(students_BK, teachers_BK, labels_B=LABELS_B, temperature=temperature)
    torch.testing.assert_close(loss, weight * distilled + (1 - weight) * F.cross_entropy(students_BK, LABELS_B))


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


@pytest.mark.parametrize("term", TERMS[:2], ids=lambda term: term.loss.name)
def test_rows_without_labels_are_in_the_divergence_alone_and_the_others_in_the_cross_entropy_alone(term: Any) -> None:
    students_BK, teachers_BK = random_logits(0), random_logits(1)[4:]
    loss = joint_loss(
        students_BK,
        labels_B=LABELS_B[:4],
        teacher_logits_BK=teachers_BK,
        distillation_weight=0.3,
        temperature=2.0,
        term=term,
        num_unlabelled=2,
    )
    distilled = term.reduced(students_BK[4:], teachers_BK, labels_B=None, temperature=2.0)
    torch.testing.assert_close(loss, 0.3 * distilled + 0.7 * F.cross_entropy(students_BK[:4], LABELS_B[:4]))


def test_a_step_by_hand_with_one_labelled_row_and_one_without_labels() -> None:
    # Two classes; T = 2, w = 1/4. The first row has z = (0, ln 3), so softmax(z) = (1/4, 3/4), and label 0:
    # CE = ln 4, with the gradient softmax(z) - (1, 0) = (-3/4, 3/4).
    # The second row has z / T = (0, 0), so q = (1/2, 1/2). The teacher has p = (4/5, 1/5): KL(p || q) =
    # 4/5 ln(8/5) + 1/5 ln(2/5), with the gradient T^2 (q - p) / T = 2 (-3/10, 3/10) = (-3/5, 3/5).
    logits_BK = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = joint_loss(
        logits_BK,
        labels_B=torch.tensor([0]),
        teacher_logits_BK=torch.tensor([[2 * math.log(4), 0.0]], dtype=torch.float64),
        distillation_weight=0.25,
        temperature=2.0,
        num_unlabelled=1,
    )
    kl = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    assert loss.item() == pytest.approx(0.75 * math.log(4) + 0.25 * 4 * kl)
    loss.backward()
    assert logits_BK.grad is not None
    expected_BK = [[-0.75 * 0.75, 0.75 * 0.75], [-0.25 * 0.6, 0.25 * 0.6]]
    torch.testing.assert_close(logits_BK.grad, torch.tensor(expected_BK, dtype=torch.float64))


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
