"""The gradient of the joint loss of many students with respect to their logits.

The batch is the innermost dimension: a softmax over the classes then processes several samples at once and takes a
tenth of the time.

Shape suffixes: G = students, K = classes, B = batch, N = samples of all students (G * B), T = the number of teachers
plus one, for no teacher; G11 = one number for each student.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.pairs.term import DistillationTerm
from peerkd.training.distill import TeacherLogits
from peerkd.training.own_temperature import OwnTemperature
from peerkd.training.stacked.own_temperatures import step_all


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


def _dkd_gradient(
    student_GKB: Tensor, teacher_GKB: Tensor, *, labels_B: Tensor, tckd_weight: float, nckd_weight: float
) -> Tensor:
    """Return ``tckd_weight (q_y - p_y) ([k = y] - b_k) + nckd_weight (b_k - a_k)``.

    a and b are p and q among the other classes than y: ``a_k = p_k / (1 - p_y)`` and ``b_k = q_k / (1 - q_y)``, with
    ``a_y = b_y = 0``.

    TCKD is ``-p_y log q_y - (1 - p_y) log(1 - q_y)`` plus a constant, so its derivative with respect to q_y is
    ``(q_y - p_y) / (q_y (1 - q_y))``. With ``d q_y / d u_j = q_y ([j = y] - q_j)``, the gradient is
    ``(q_y - p_y) ([j = y] - q_j) / (1 - q_y)``: ``q_y - p_y`` for the label and ``-(q_y - p_y) b_j`` for the others.
    NCKD is the KL divergence of the softmax over the other logits, which has the gradient ``b - a``.
    """
    is_label_KB = F.one_hot(labels_B, student_GKB.shape[1]).t()
    other_q_GKB, other_p_GKB = (
        logits_GKB.masked_fill(is_label_KB.bool(), -torch.inf).softmax(1) for logits_GKB in (student_GKB, teacher_GKB)
    )
    excess_G1B = ((student_GKB.softmax(1) - teacher_GKB.softmax(1)) * is_label_KB).sum(1, keepdim=True)
    return tckd_weight * excess_G1B * (is_label_KB - other_q_GKB) + nckd_weight * (other_q_GKB - other_p_GKB)


_Gradient = Callable[..., Tensor]
"""A function ``gradient(student_GKB, teacher_GKB, ...)``: for each sample, the gradient of its loss with respect to the
student's logits, where both logits have been divided by T. As in ``PairLoss.per_sample``, the hyper-parameters are
keyword arguments, and so is ``labels_B``, the classes of the batch, if the loss needs labels.
"""

FAST_GRADIENTS: Final[Mapping[str, _Gradient]] = {
    "kl": _kl_gradient,
    "reverse_kl": _reverse_kl_gradient,
    "dkd": _dkd_gradient,
    "ctkd": _kl_gradient,
    "dts": _kl_gradient,
}
"""The hand-written gradients of losses of ``peerkd.losses.pairs``, by name. Other losses use autograd."""


class StackedObjective:
    """Computes the gradients of the joint losses of G students on one transfer set."""

    def __init__(
        self,
        *,
        teacher_logits: Sequence[TeacherLogits | None],
        distillation_weights: Sequence[float],
        temperatures: Sequence[float | None],
        term: DistillationTerm,
        dtype: torch.dtype,
        own: Sequence[OwnTemperature | None] | None = None,
    ) -> None:
        """Check and store the settings of the students; see ``Students.train`` for the arguments.

        Raises:
            ValueError: If a weight is outside 0 to 1, or a student with a weight above 0 lacks teacher or temperature.
        """
        for weight, teacher, temperature in zip(distillation_weights, teacher_logits, temperatures, strict=True):
            if not 0 <= weight <= 1:
                raise ValueError(f"distillation_weights must be from 0 to 1, got {weight}.")
            if weight > 0 and (teacher is None or temperature is None):
                raise ValueError(f"teacher_logits and temperatures are required when a weight is {weight}.")
            if temperature is not None and temperature <= 0:
                raise ValueError(f"temperatures must be above 0, got {temperature}.")
        self._term = term
        self._dtype = dtype
        self._own = own if own is not None and any(own) else None
        self._weights_G11 = torch.tensor(distillation_weights, dtype=dtype)[:, None, None]
        self._temperatures_G11 = torch.tensor([each or 1.0 for each in temperatures], dtype=dtype)[:, None, None]
        # A student that needs no teacher gets logits of zero. Those of another student's teacher might not be finite,
        # and 0 times NaN is NaN.
        needed = [
            None if weight == 0 else teacher
            for weight, teacher in zip(distillation_weights, teacher_logits, strict=True)
        ]
        self._teachers = list({id(each): each for each in needed if each is not None}.values())
        indices = {id(teacher): 1 + index for index, teacher in enumerate(self._teachers)}
        self._teacher_indices_G = torch.tensor([indices.get(id(teacher), 0) for teacher in needed])

    def gradient(
        self,
        logits_GKB: Tensor,
        *,
        labels_B: Tensor,
        epoch: int,
        batch: int,
        num_unlabelled: int = 0,
        progress: float = 0.0,
        learning_rates: Sequence[float] = (),
    ) -> Tensor:
        """Return the gradient of each student's loss on a batch with respect to the student's logits, of shape GKB.

        If the loss sets its temperature itself, set that of the next step for each student.

        Args:
            logits_GKB: The students' logits.
            labels_B: The classes of the samples with labels.
            epoch: The epoch, counted from 0.
            batch: The index of the batch in the epoch.
            num_unlabelled: The number of samples without labels, which are the last ones.
            progress: The share of the training that has been done after this step. It has an effect only if the loss
                sets its temperature itself.
            learning_rates: The learning rate of each student in this step. The same holds for them.
        """
        teacher_logits_GKB = self._teacher_logits(epoch, batch, like=logits_GKB[..., -num_unlabelled:])
        temperatures_G11 = self._temperatures_G11
        if self._own is not None:
            own_G = torch.tensor([1.0 if each is None else each.value for each in self._own], dtype=self._dtype)
            temperatures_G11 = own_G[:, None, None]
            step_all(
                self._own,
                logits_GKB[..., -num_unlabelled:],
                teacher_logits_GKB,
                labels_B=labels_B,
                distillation_weights_G11=self._weights_G11,
                temperatures_G11=temperatures_G11,
                term=self._term,
                progress=progress,
                learning_rates=learning_rates,
            )
        return joint_loss_gradient(
            logits_GKB,
            labels_B=labels_B,
            teacher_logits_GKB=teacher_logits_GKB,
            num_unlabelled=num_unlabelled,
            distillation_weights_G11=self._weights_G11,
            temperatures_G11=temperatures_G11,
            term=self._term,
        )

    def _teacher_logits(self, epoch: int, batch: int, *, like: Tensor) -> Tensor:
        none_BK = like.new_zeros(like.shape[2], like.shape[1])
        logits_TBK = torch.stack([none_BK, *(teacher[epoch][batch].to(self._dtype) for teacher in self._teachers)])
        return logits_TBK.transpose(1, 2).index_select(0, self._teacher_indices_G)


def joint_loss_gradient(
    student_logits_GKB: Tensor,
    *,
    labels_B: Tensor,
    teacher_logits_GKB: Tensor,
    distillation_weights_G11: Tensor,
    temperatures_G11: Tensor,
    term: DistillationTerm,
    num_unlabelled: int = 0,
) -> Tensor:
    """Return the gradient of every student's ``peerkd.losses.distillation.joint_loss`` for its logits, of shape GKB.

    Let z be the logits of a student, ``u = z / T``, and D the pair loss of a sample. Then ``dD/dz = (dD/du) / T``, and
    the factor T^2 of the term makes that ``T dD/du`` (Hinton et al. 2015, arXiv:1503.02531, section 2). The cross
    entropy has the gradient ``softmax(z) - onehot(y)``. Both gradients are divided by the batch size, and with the
    reduction ``mean`` that of D also by the number of classes.

    Both terms are computed for all students, even if the weight of one is 0, so that the operations for one student do
    not depend on the weights of the others.

    If some samples have no labels, the cross entropy is the mean over the samples with labels, and the distillation
    term is the mean over the samples without. Each sample then has the gradient of one of the two terms.

    Args:
        student_logits_GKB: The students' logits.
        labels_B: The classes of the samples with labels, which all students share.
        teacher_logits_GKB: The logits of each student's teacher on the samples of the distillation term. If the weight
            of a student is 0, they may be any finite numbers.
        distillation_weights_G11: The weight of the distillation term, from 0 to 1.
        temperatures_G11: T, above 0. If the weight is 0, it may be any number above 0.
        term: The pair loss D and its reduction.
        num_unlabelled: The number of samples without labels, which are the last ones.
    """
    num_classes = student_logits_GKB.shape[1]
    # All samples are in both terms, unless some have no labels.
    labelled_GKB = student_logits_GKB[..., :-num_unlabelled] if num_unlabelled else student_logits_GKB
    taught_GKB = student_logits_GKB[..., -num_unlabelled:]
    fast = FAST_GRADIENTS.get(term.loss.name)
    if fast:
        taught_labels_B = None if num_unlabelled else labels_B
        distilled_GKB = fast(
            taught_GKB / temperatures_G11, teacher_logits_GKB / temperatures_G11, **term.arguments(taught_labels_B)
        )
    else:
        distilled_GKB = _autograd(taught_GKB, teacher_logits_GKB, labels_B, temperatures_G11, term)
    # The loss is a mean over the batch, and with the reduction ``mean`` also over the classes.
    num_terms = taught_GKB.shape[2] * (num_classes if term.reduction == "mean" else 1)
    # From dD/du to the gradient for z: T^2 / T, or 1 / T without the factor T^2.
    temperature_factor_G11 = temperatures_G11 if term.scale_by_temperature_squared else 1 / temperatures_G11
    # -d log softmax(z)_y / dz_j = softmax(z)_j - [j = y].
    cross_entropy_GKB = labelled_GKB.softmax(1) - F.one_hot(labels_B, num_classes).t()
    # The gradients of (1 - w) CE(z, y) and w T^2 D(z / T).
    of_labels_GKB = cross_entropy_GKB * ((1 - distillation_weights_G11) / labelled_GKB.shape[2])
    of_teacher_GKB = distilled_GKB * (distillation_weights_G11 * temperature_factor_G11 / num_terms)
    return torch.cat([of_labels_GKB, of_teacher_GKB], dim=2) if num_unlabelled else of_labels_GKB + of_teacher_GKB


def _autograd(
    student_GKB: Tensor, teacher_GKB: Tensor, labels_B: Tensor, temperatures_G11: Tensor, term: DistillationTerm
) -> Tensor:
    """Return ``dD/du = T dD/dz`` of any pair loss D, computed by autograd from its formula.

    The loss of a sample does not depend on other samples, so the gradient of the sum of all losses has each sample's
    own gradient in its row. The students are computed one after another. As rows of one batch they would take less
    time, but vectorised functions such as ``logaddexp`` round the last numbers of a tensor differently, so that the
    bits of a student would depend on its place among the others.
    """
    gradients: list[Tensor] = []
    for student_KB, teacher_KB, temperature_11 in zip(student_GKB, teacher_GKB, temperatures_G11, strict=True):
        with torch.enable_grad():
            logits_BK = student_KB.detach().t().clone(memory_format=torch.contiguous_format).requires_grad_()
            losses_B = term.per_sample(
                logits_BK,
                teacher_KB.t().clone(memory_format=torch.contiguous_format),
                labels_B=labels_B,
                temperature=temperature_11,
            )
            (gradient_BK,) = torch.autograd.grad(losses_B.sum(), logits_BK)
        # The chain rule again, for u = z / T: dD/du = T dD/dz.
        gradients.append(gradient_BK.t() * temperature_11)
    return torch.stack(gradients)
