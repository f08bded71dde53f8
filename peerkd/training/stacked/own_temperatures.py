"""The facts by which the losses of students side by side set their own temperatures.

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
    """Return the sum of ``KL(p || q)`` over the batch, and T times its derivative for T: ``G`` each.

    With z the logits of the student, t those of the teacher, ``u = z / T`` and ``v = t / T``, T has the effect
    ``T du/dT = -u`` and ``T dv/dT = -v``. The derivative for u_j is ``q_j - p_j`` (see ``_kl_gradient``). With
    ``r = log p - log q``, so that ``KL = sum_k p_k r_k``, and ``d p_k / d v_j = p_k ([j = k] - p_j)``, the derivative
    for v_j is ``p_j (r_j - KL) + sum_k p_k d r_k / d v_j``, and the last sum is ``sum_k p_k ([j = k] - p_j) = 0``.
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
"""Losses of ``peerkd.losses.pairs`` with a derivative for T written by hand. Other losses use autograd. Both logits
have been divided by T."""


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
    """Let each student that has a temperature of its own set that of the next step.

    Args:
        own: The temperature of each student, or None.
        student_logits_GKB: The scores of the students in the step, on the samples of the distillation.
        teacher_logits_GKB: Those of their teachers.
        labels_B: The classes of the samples, if the rule needs the gap.
        distillation_weights_G11: The weight of the distillation.
        temperatures_G11: T in the step.
        term: D.
        progress: The share of the training that has been done.
        learning_rates: The learning rate of each student in the step.
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
    """Return the mean cross entropy of each student on the batch, minus that of its teacher."""
    differences_GKB = teacher_GKB.log_softmax(1) - student_GKB.log_softmax(1)
    places_G1B = labels_B.expand(len(student_GKB), 1, -1)
    gaps: list[float] = differences_GKB.gather(1, places_G1B)[:, 0].mean(1).tolist()
    return gaps


def _slopes(
    student_GKB: Tensor, teacher_GKB: Tensor, labels_B: Tensor, temperatures_G11: Tensor, term: DistillationTerm
) -> Tensor:
    """Return the derivative of ``c D`` for T of each student, where c is T^2 or 1: ``G``."""
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
