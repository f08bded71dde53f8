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
