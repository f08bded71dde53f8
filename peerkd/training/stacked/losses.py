"""The gradient of the joint loss of many students at once, by their logits.

The batch is innermost: a softmax over the classes then does several samples at once, and takes a tenth of the time.

Shape suffixes: G = students, K = classes, B = batch, N = samples of all students (G * B); G11 = one number a student.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.pairs.term import DistillationTerm


def _kl_gradient(student_GKB: Tensor, teacher_GKB: Tensor) -> Tensor:
    """Return ``q - p``.

    With ``q = softmax(u)``, ``d log q_k / d u_j = [j = k] - q_j``. So ``d/du_j sum_k p_k (log p_k - log q_k)`` is
    ``-sum_k p_k ([j = k] - q_j) = q_j - p_j``, as the p_k add up to 1.
    """
    return student_GKB.softmax(1) - teacher_GKB.softmax(1)


def _reverse_kl_gradient(student_GKB: Tensor, teacher_GKB: Tensor) -> Tensor:
    """Return ``q (r - sum_K q r)`` with ``r = log q - log p``.

    With ``q = softmax(u)``, ``d q_k / d u_j = q_k ([j = k] - q_j)``. So ``d/du_j sum_k q_k r_k`` is
    ``q_j r_j - q_j sum_k q_k r_k + sum_k q_k d r_k / d u_j``, and the last sum is
    ``sum_k q_k ([j = k] - q_j) = q_j - q_j = 0``.
    """
    probs_GKB = student_GKB.softmax(1)
    ratios_GKB = student_GKB.log_softmax(1) - teacher_GKB.log_softmax(1)
    return probs_GKB * (ratios_GKB - (probs_GKB * ratios_GKB).sum(1, keepdim=True))


_Gradient = Callable[[Tensor, Tensor], Tensor]
"""``gradient(student_GKB, teacher_GKB)``: that of the loss of each sample for the student's logits, where both logits
are divided by T already."""

FAST_GRADIENTS: Final[Mapping[str, _Gradient]] = {"kl": _kl_gradient, "reverse_kl": _reverse_kl_gradient}
"""Losses of ``peerkd.losses.pairs`` whose gradient is written by hand. Those of all others are taken by autograd."""


def joint_loss_gradient(
    student_logits_GKB: Tensor,
    *,
    labels_B: Tensor,
    teacher_logits_GKB: Tensor,
    distillation_weights_G11: Tensor,
    temperatures_G11: Tensor,
    term: DistillationTerm,
) -> Tensor:
    """Return, for every student, the gradient of ``peerkd.losses.distillation.joint_loss`` for its logits: ``GKB``.

    With z the logits of a student and ``u = z / T``, a sample's loss D has ``dD/dz = (dD/du) / T``, and T^2 makes
    that ``T dD/du``. The cross entropy has ``softmax(z) - onehot(y)``. Both are divided by the batch size.

    Both terms are computed for all students, so that none's operations depend on what the others need: a weight of 0
    or 1 multiplies the other term by 0.

    Args:
        student_logits_GKB: Unnormalised scores.
        labels_B: Classes, those of all students.
        teacher_logits_GKB: Scores of each student's teacher; any finite numbers where the weight is 0.
        distillation_weights_G11: w, from 0 to 1.
        temperatures_G11: T, above 0; any such where the weight is 0.
        term: D.
    """
    _, num_classes, num_samples = student_logits_GKB.shape
    fast = FAST_GRADIENTS.get(term.loss.name)
    if fast:
        distilled_GKB = fast(student_logits_GKB / temperatures_G11, teacher_logits_GKB / temperatures_G11)
    else:
        distilled_GKB = _autograd(student_logits_GKB, teacher_logits_GKB, labels_B, temperatures_G11, term)
    num_terms = num_samples * (num_classes if term.reduction == "mean" else 1)
    temperature_factor_G11 = temperatures_G11 if term.scale_by_temperature_squared else 1 / temperatures_G11
    cross_entropy_GKB = student_logits_GKB.softmax(1) - F.one_hot(labels_B, num_classes).t()
    return (
        cross_entropy_GKB * ((1 - distillation_weights_G11) / num_samples)
        + distilled_GKB * (distillation_weights_G11 * temperature_factor_G11 / num_terms)
    )  # fmt: skip


def _autograd(
    student_GKB: Tensor, teacher_GKB: Tensor, labels_B: Tensor, temperatures_G11: Tensor, term: DistillationTerm
) -> Tensor:
    """Return ``dD/du = T dD/dz`` of any loss by its formula.

    No sample's loss depends on another sample, so students side by side are one batch of ``N`` samples, and the
    gradient of the sum of all losses has in each row what that row has alone.
    """
    num_students, num_classes, num_samples = student_GKB.shape
    student_NK, teacher_NK = (each.transpose(1, 2).reshape(-1, num_classes) for each in (student_GKB, teacher_GKB))
    with torch.enable_grad():
        logits_NK = student_NK.detach().requires_grad_()
        losses_N = term.per_sample(
            logits_NK,
            teacher_NK,
            labels_B=labels_B.repeat(num_students),
            temperature=temperatures_G11.expand(-1, num_samples, 1).reshape(-1, 1),
        )
        (gradient_NK,) = torch.autograd.grad(losses_N.sum(), logits_NK)
    return gradient_NK.view(num_students, num_samples, num_classes).transpose(1, 2) * temperatures_G11
