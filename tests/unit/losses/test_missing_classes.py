"""The loss of a pair in which a network does not know every class."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.distillation import joint_loss
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT

KNOWN = torch.tensor([True, False, True, True, False])


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 6, 5, generator=generator)
    return student, teacher, torch.tensor([0, 1, 2, 3, 4, 0])


def restricted(logits: Tensor) -> Tensor:
    return logits.masked_fill(~KNOWN, MISSING_CLASS_LOGIT)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_student_that_lacks_classes_learns_as_if_only_its_own_existed(weight: float, temperature: float) -> None:
    student, teacher, labels = batch()
    student.requires_grad_()
    loss = joint_loss(
        restricted(student),
        labels_B=labels,
        teacher_logits_BK=teacher,
        distillation_weight=weight,
        temperature=temperature,
        known_K=KNOWN,
    )
    (gradient,) = torch.autograd.grad(loss, student)
    # The same by hand: the target is renormalised over the known classes, and samples of others have no label.
    own = student[:, KNOWN]
    target = (teacher / temperature).softmax(1)[:, KNOWN]
    target = target / target.sum(1, keepdim=True)
    divergence = temperature**2 * F.kl_div((own / temperature).log_softmax(1), target, reduction="batchmean")
    is_known = KNOWN[labels]
    positions = (KNOWN.cumsum(0) - 1)[labels]
    expected = weight * divergence + (1 - weight) * F.cross_entropy(own[is_known], positions[is_known])
    torch.testing.assert_close(loss, expected)
    (expected_gradient,) = torch.autograd.grad(expected, student)
    torch.testing.assert_close(gradient, expected_gradient)


def test_a_batch_of_unknown_classes_has_no_cross_entropy() -> None:
    student, _, _ = batch()
    loss = joint_loss(
        restricted(student),
        labels_B=torch.tensor([1, 4, 1, 4, 1, 4]),
        teacher_logits_BK=None,
        distillation_weight=0.0,
        temperature=None,
        known_K=KNOWN,
    )
    assert loss == 0


@pytest.mark.parametrize("loss", [loss for loss in PAIR_LOSSES.values() if loss.allows_missing_classes])
def test_a_teacher_that_lacks_classes_gives_a_finite_loss(loss) -> None:
    student, teacher, _ = batch()
    student.requires_grad_()
    losses = loss.per_sample(student, restricted(teacher), temperature=2.0)
    (gradient,) = torch.autograd.grad(losses.sum(), student)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()
    own = (restricted(teacher) / 2.0).softmax(1)
    assert (own[:, ~KNOWN] == 0).all()


def test_the_reverse_divergence_is_not_allowed_because_it_would_be_infinite() -> None:
    assert PAIR_LOSSES["kl"].allows_missing_classes
    assert not PAIR_LOSSES["reverse_kl"].allows_missing_classes
