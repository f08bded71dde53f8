"""The gradient of the joint loss of many students at once.

The batch is innermost: a softmax over the classes then does several samples at once, and takes a tenth of the time.

Shape suffixes: G = students, K = classes, B = batch; G11 = one number a student.
"""

import torch.nn.functional as F
from torch import Tensor


def joint_loss_gradient(
    student_logits_GKB: Tensor,
    *,
    labels_B: Tensor,
    teacher_logits_GKB: Tensor,
    distillation_weights_G11: Tensor,
    temperatures_G11: Tensor,
    direction: str,
    reduction: str,
    scale_by_temperature_squared: bool,
) -> Tensor:
    """Return, for every student, the gradient of ``peerkd.losses.distillation.joint_loss`` for its logits: ``GKB``.

    With ``p = softmax(teacher / T)`` and ``q = softmax(student / T)`` it is ``(q - p) / T`` for KL(p || q), and
    ``q * (r - sum_K q r) / T`` with ``r = log q - log p`` for KL(q || p), each divided by the batch size.

    Both terms are computed for all students, so that none's operations depend on what the others need: a weight of 0
    or 1 multiplies the other term by 0.

    Args:
        student_logits_GKB: Unnormalised scores.
        labels_B: Classes, those of all students.
        teacher_logits_GKB: Scores of each student's teacher; any finite numbers where the weight is 0.
        distillation_weights_G11: w, from 0 to 1.
        temperatures_G11: T, above 0; any such where the weight is 0.
        direction: As in ``softened_divergence``.
        reduction: As in ``softened_divergence``.
        scale_by_temperature_squared: As in ``softened_divergence``.

    Raises:
        ValueError: If a convention is unknown.
    """
    _, num_classes, num_samples = student_logits_GKB.shape
    softened_GKB = student_logits_GKB / temperatures_G11
    probs_GKB = softened_GKB.softmax(1)
    match direction:
        case "teacher_to_student":
            divergence_GKB = probs_GKB - (teacher_logits_GKB / temperatures_G11).softmax(1)
        case "student_to_teacher":
            ratios_GKB = softened_GKB.log_softmax(1) - (teacher_logits_GKB / temperatures_G11).log_softmax(1)
            divergence_GKB = probs_GKB * (ratios_GKB - (probs_GKB * ratios_GKB).sum(1, keepdim=True))
        case _:
            raise ValueError(f"direction must be teacher_to_student or student_to_teacher, got {direction}.")
    if reduction not in ("batchmean", "mean"):
        raise ValueError(f"reduction must be batchmean or mean, got {reduction}.")
    num_terms = num_samples * (num_classes if reduction == "mean" else 1)
    temperature_factor_G11 = temperatures_G11 if scale_by_temperature_squared else 1 / temperatures_G11
    cross_entropy_GKB = student_logits_GKB.softmax(1) - F.one_hot(labels_B, num_classes).t()
    return (
        cross_entropy_GKB * ((1 - distillation_weights_G11) / num_samples)
        + divergence_GKB * (distillation_weights_G11 * temperature_factor_G11 / num_terms)
    )  # fmt: skip
