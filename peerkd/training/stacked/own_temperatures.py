"""The temperatures of students that train side by side with a loss that sets its temperature itself.

Shape suffixes: G = students, K = classes, B = batch; G11 = one number for each student.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.training.own_temperature import OwnTemperature


def _kl_slopes(student_GKB: Tensor, teacher_GKB: Tensor) -> tuple[Tensor, Tensor]:
    """Return S, the sum of ``KL(p || q)`` over the batch, and ``T dS/dT``: two tensors of shape G.

    For one sample, u and v are the logits of student and teacher, divided by T. They have the distributions
    ``q = softmax(u)`` and ``p = softmax(v)``. Let j and k be classes, and let [j = k] be 1 if they are equal, else 0.

    T divides the logits, so ``T du_j/dT = -u_j`` and ``T dv_j/dT = -v_j``. By the chain rule::

        T dKL/dT = -sum_j (u_j dKL/du_j + v_j dKL/dv_j)

    - ``dKL/du_j`` is ``q_j - p_j``. The function ``_kl_gradient`` in ``peerkd.training.stacked.losses`` derives it.
    - ``dKL/dv_j`` is ``p_j (r_j - KL)``, where ``r_k = log p_k - log q_k`` and ``KL = sum_k p_k r_k``. The derivative
      of p_k with respect to v_j is ``p_k ([j = k] - p_j)``, which contributes ``p_j (r_j - KL)``. The derivative of r_k
      is ``[j = k] - p_j``, which contributes ``sum_k p_k ([j = k] - p_j) = 0``.

    Args:
        student_GKB: u of all students.
        teacher_GKB: v of each student's teacher.
    """
    probs_GKB = teacher_GKB.softmax(1)
    ratios_GKB = teacher_GKB.log_softmax(1) - student_GKB.log_softmax(1)
    losses_G1B = (probs_GKB * ratios_GKB).sum(1, keepdim=True)
    slopes_GKB = student_GKB * (student_GKB.softmax(1) - probs_GKB) + teacher_GKB * probs_GKB * (
        ratios_GKB - losses_G1B
    )
    return losses_G1B[:, 0].sum(1), -slopes_GKB.sum(1).sum(1)


_Slopes = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

FAST_SLOPES: Final[Mapping[str, _Slopes]] = {"ctkd": _kl_slopes}
"""Functions that compute the derivative of a pair loss with respect to T by a formula, by name of the loss.

Such a function receives the logits of students and teachers, divided by T. It returns the sum of the loss over the
batch, and T times the derivative of this sum, each of shape G. All other losses use autograd.
"""


def step_all(
    own: Sequence[OwnTemperature | None],
    student_logits_GKB: Tensor,
    teacher_logits_GKB: Tensor,
    *,
    labels_B: Tensor,
    distillation_weights_G11: Tensor,
    temperatures_G11: Tensor,
    term: DistillationTerm,
    progress: float,
    learning_rates: Sequence[float],
) -> None:
    """Set the temperature of the next step for each student whose loss sets its temperature itself.

    Args:
        own: The temperature of each student; None for a student without a distillation term.
        student_logits_GKB: The logits of the students in the current step, on the samples of the distillation term.
        teacher_logits_GKB: The logits of the students' teachers on the same samples.
        labels_B: The classes of the samples. They are used only if the loss depends on the gap of cross entropies.
        distillation_weights_G11: The weight of each student's distillation term.
        temperatures_G11: T of each student in the current step.
        term: The distillation term: the pair loss and its conventions.
        progress: The share of the training that has been done after the current step.
        learning_rates: The learning rate of each student in the current step.
    """
    rule = term.loss.temperature_rule
    assert rule is not None, "only a loss with a rule sets temperatures"
    gaps = slopes = [0.0] * len(own)
    if rule.needs_gap:
        gaps = _cross_entropy_gaps(student_logits_GKB, teacher_logits_GKB, labels_B)
    if rule.needs_slope:
        arguments = student_logits_GKB, teacher_logits_GKB, labels_B, temperatures_G11, term
        slopes = (distillation_weights_G11[:, 0, 0] * _slopes(*arguments)).tolist()
    for each, rate, gap, slope in zip(own, learning_rates, gaps, slopes, strict=True):
        if each is not None:
            facts = StepFacts(progress, learning_rate=rate, cross_entropy_gap=gap, temperature_slope=slope)
            each.step(facts)


def _cross_entropy_gaps(student_GKB: Tensor, teacher_GKB: Tensor, labels_B: Tensor) -> list[float]:
    """Return the mean cross entropy of each student on the batch at T = 1, minus that of the student's teacher."""
    differences_GKB = teacher_GKB.log_softmax(1) - student_GKB.log_softmax(1)
    places_G1B = labels_B.expand(len(student_GKB), 1, -1)
    gaps: list[float] = differences_GKB.gather(1, places_G1B)[:, 0].mean(1).tolist()
    return gaps


def _slopes(
    student_GKB: Tensor, teacher_GKB: Tensor, labels_B: Tensor, temperatures_G11: Tensor, term: DistillationTerm
) -> Tensor:
    """Return the derivative of each student's distillation term with respect to T, of shape G.

    The term is the pair loss, reduced over the batch and, if ``term`` says so, multiplied by T^2. Its weight in the
    student's loss is not included.
    """
    fast = FAST_SLOPES.get(term.loss.name)
    if fast is None:
        return _autograd(student_GKB, teacher_GKB, labels_B, temperatures_G11, term)
    temperatures_G = temperatures_G11[:, 0, 0]
    sums_G, scaled_G = fast(student_GKB / temperatures_G11, teacher_GKB / temperatures_G11)
    num_terms = student_GKB.shape[2] * (student_GKB.shape[1] if term.reduction == "mean" else 1)
    if term.scale_by_temperature_squared:
        # (T^2 S)' = 2 T S + T^2 S' = T (2 S + T S'), where S is the sum over the batch.
        return temperatures_G * (2 * sums_G + scaled_G) / num_terms
    return scaled_G / temperatures_G / num_terms


def _autograd(
    student_GKB: Tensor, teacher_GKB: Tensor, labels_B: Tensor, temperatures_G11: Tensor, term: DistillationTerm
) -> Tensor:
    slopes: list[Tensor] = []
    for student_KB, teacher_KB, temperature_11 in zip(student_GKB, teacher_GKB, temperatures_G11, strict=True):
        with torch.enable_grad():
            temperature = temperature_11[0, 0].detach().clone().requires_grad_()
            reduced = term.reduced(
                student_KB.t().clone(memory_format=torch.contiguous_format),
                teacher_KB.t().clone(memory_format=torch.contiguous_format),
                labels_B=labels_B,
                temperature=temperature,
            )
            slopes.append(torch.autograd.grad(reduced, temperature)[0])
    return torch.stack(slopes)
