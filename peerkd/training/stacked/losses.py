"""The gradient of the joint loss of many students with respect to their logits.

The batch is the innermost dimension: a softmax over the classes then processes several samples at once and takes a
tenth of the time.

Shape suffixes: G = students, K = classes, B = batch, N = samples of all students (G * B), T = teachers, and one more
entry for students without a teacher; G11 = one number for each student.
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
    """Return the gradient of ``KL(p || q)`` with respect to the student's logits u for each sample: ``q - p``.

    Here u and v are the logits of student and teacher, divided by T. They have the distributions ``q = softmax(u)`` and
    ``p = softmax(v)``. Let j and k be classes, and let [j = k] be 1 if they are equal, else 0.

    The divergence is ``sum_k p_k (log p_k - log q_k)``, in which only q depends on u. The derivative of ``log q_k``
    with respect to u_j is ``[j = k] - q_j``. The derivative of the divergence is therefore
    ``-sum_k p_k ([j = k] - q_j)``. It equals ``q_j - p_j``, because the p_k add up to 1.

    Args:
        student_GKB: u of all students.
        teacher_GKB: v of each student's teacher.
    """
    return student_GKB.softmax(1) - teacher_GKB.softmax(1)


def _reverse_kl_gradient(student_GKB: Tensor, teacher_GKB: Tensor) -> Tensor:
    """Return the gradient of ``KL(q || p)`` with respect to the student's logits u for each sample.

    Here u and v are the logits of student and teacher, divided by T. They have the distributions ``q = softmax(u)`` and
    ``p = softmax(v)``. Let j and k be classes, and let [j = k] be 1 if they are equal, else 0.

    The divergence is ``sum_k q_k r_k`` with ``r_k = log q_k - log p_k``. It depends on u through q and through r:

    - The derivative of q_k with respect to u_j is ``q_k ([j = k] - q_j)``. This contributes
      ``q_j r_j - q_j sum_k q_k r_k``.
    - The derivative of r_k with respect to u_j is ``[j = k] - q_j``. This contributes ``sum_k q_k ([j = k] - q_j)``,
      which is 0, because the q_k add up to 1.

    The gradient is therefore ``q_j (r_j - sum_k q_k r_k)``.

    Args:
        student_GKB: u of all students.
        teacher_GKB: v of each student's teacher.
    """
    probs_GKB = student_GKB.softmax(1)
    ratios_GKB = student_GKB.log_softmax(1) - teacher_GKB.log_softmax(1)
    return probs_GKB * (ratios_GKB - (probs_GKB * ratios_GKB).sum(1, keepdim=True))


def _dkd_gradient(
    student_GKB: Tensor, teacher_GKB: Tensor, *, labels_B: Tensor, tckd_weight: float, nckd_weight: float
) -> Tensor:
    """Return the gradient of the decoupled distillation loss with respect to the student's logits u for each sample.

    Here u and v are the logits of student and teacher, divided by T. They have the distributions ``q = softmax(u)`` and
    ``p = softmax(v)``. Let y be the label, let j be a class, and let [j = y] be 1 if j is the label, else 0. Over the
    classes other than y, the distributions are ``b_j = q_j / (1 - q_y)`` for the student and ``a_j = p_j / (1 - p_y)``
    for the teacher, with ``a_y = b_y = 0``. The loss is ``tckd_weight * TCKD + nckd_weight * NCKD``.

    TCKD is ``-p_y log q_y - (1 - p_y) log(1 - q_y)`` plus a constant. Its derivative with respect to q_y is
    ``(q_y - p_y) / (q_y (1 - q_y))``, and the derivative of q_y with respect to u_j is ``q_y ([j = y] - q_j)``. The
    product is ``(q_y - p_y) ([j = y] - q_j) / (1 - q_y)``. It equals ``q_y - p_y`` for the label and
    ``-(q_y - p_y) b_j`` for any other class.

    NCKD is ``KL(a || b)``. b is the softmax of u over the classes other than y, so the gradient is ``b_j - a_j``, as in
    ``_kl_gradient``.

    The result is ``tckd_weight (q_y - p_y) ([j = y] - b_j) + nckd_weight (b_j - a_j)``.

    Args:
        student_GKB: u of all students.
        teacher_GKB: v of each student's teacher.
        labels_B: The classes of the samples.
        tckd_weight: The weight of TCKD, the loss of the probability of the label.
        nckd_weight: The weight of NCKD, the loss of the probabilities of all other classes.
    """
    is_label_KB = F.one_hot(labels_B, student_GKB.shape[1]).t()
    other_q_GKB, other_p_GKB = (
        logits_GKB.masked_fill(is_label_KB.bool(), -torch.inf).softmax(1) for logits_GKB in (student_GKB, teacher_GKB)
    )
    excess_G1B = ((student_GKB.softmax(1) - teacher_GKB.softmax(1)) * is_label_KB).sum(1, keepdim=True)
    return tckd_weight * excess_G1B * (is_label_KB - other_q_GKB) + nckd_weight * (other_q_GKB - other_p_GKB)


_Gradient = Callable[..., Tensor]
"""A function that returns the gradient of a pair loss, for each sample of each student.

It is called as ``gradient(student_GKB, teacher_GKB, ...)`` with logits that have been divided by T, and returns the
gradient with respect to the divided logits of the students. As in ``PairLoss.per_sample``, the hyper-parameters of the
loss are keyword arguments. If the loss needs labels, ``labels_B``, the classes of the batch, is a keyword argument as
well.
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
        """Check and store the settings of the students.

        Args:
            teacher_logits: For each student, the logits that it imitates; None for fine-tuning.
            distillation_weights: The weight of each student's distillation term, from 0 to 1.
            temperatures: T of each student; None for fine-tuning.
            term: The distillation term: a pair loss and its conventions.
            dtype: The type of all numbers.
            own: The temperature of each student whose loss sets T itself; None for any other student.

        Raises:
            ValueError: If a weight is outside 0 to 1, a temperature is not above 0, or a student with a weight above 0
                has no logits or no temperature.
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

        If the loss sets its temperature itself, the call also sets the temperature of each student's next step.

        Args:
            logits_GKB: The students' logits.
            labels_B: The classes of the samples with labels.
            epoch: The epoch, counted from 0.
            batch: The index of the batch in the epoch.
            num_unlabelled: The number of samples without labels, which are the last ones.
            progress: The share of the training that has been done after this step. Only a loss that sets its
                temperature itself uses it.
            learning_rates: The learning rate of each student in this step. Only a loss that sets its temperature itself
                uses it.
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
    """Return the gradient of each student's joint loss with respect to the student's logits, of shape GKB.

    The joint loss is that of ``peerkd.losses.distillation.joint_loss``: the weighted sum of distillation term and cross
    entropy. Both terms are computed for all students, even for a student with the weight 0. The operations for one
    student therefore do not depend on the weights of the other students.

    For one sample, let z be the logits of a student, y the label, ``u = z / T`` and D the pair loss. By the chain rule,
    ``dD/dz = (dD/du) / T``. If the term has the factor T^2, its gradient is ``T dD/du`` (Hinton et al. 2015,
    arXiv:1503.02531, section 2). The cross entropy has the gradient ``softmax(z) - onehot(y)``. Each gradient is
    divided by the number of samples in its term. With the reduction ``mean``, the gradient of D is also divided by the
    number of classes.

    If some samples have no labels, the cross entropy is the mean over the samples with labels, and the distillation
    term is the mean over the samples without labels. Each sample then has the gradient of one of the two terms.

    Args:
        student_logits_GKB: The students' logits.
        labels_B: The classes of the samples with labels, which all students share.
        teacher_logits_GKB: The logits of each student's teacher on the samples of the distillation term. For a student
            with the weight 0, they may be any finite numbers.
        distillation_weights_G11: The weight of the distillation term, from 0 to 1.
        temperatures_G11: T, above 0. For a student with the weight 0, it may be any number above 0.
        term: The pair loss D, its reduction, and whether the term has the factor T^2.
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
    """Return the gradient of any pair loss D with respect to the students' logits divided by T, by autograd.

    With the logits z of a student and ``u = z / T``, autograd computes dD/dz, and the result is ``dD/du = T dD/dz``.
    The loss of a sample does not depend on other samples, so the gradient of the sum of all losses has each sample's
    own gradient in its row.

    The students are computed one after another. As rows of one batch they would take less time. But vectorised
    functions such as ``logaddexp`` round the last numbers of a tensor differently, so that the bits of a student would
    depend on the student's index.
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
