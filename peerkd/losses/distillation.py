"""The loss of joint distillation, with every convention that papers leave unsaid as an argument.

Shape suffixes: B = batch, K = classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def softened_divergence(
    student_logits_BK: Tensor,
    teacher_logits_BK: Tensor,
    *,
    temperature: float | Tensor,
    direction: str = "teacher_to_student",
    reduction: str = "batchmean",
    scale_by_temperature_squared: bool = True,
) -> Tensor:
    """Return the divergence between the softened outputs of teacher and student, a scalar.

    With the defaults this is ``T^2 * mean_B sum_K p log(p / q)`` where ``p = softmax(teacher / T)`` and
    ``q = softmax(student / T)`` (Hinton et al. 2015, arXiv:1503.02531, section 2). The teacher is a constant: no
    gradient flows into ``teacher_logits_BK``.

    Args:
        student_logits_BK: Unnormalised scores of the network being trained.
        teacher_logits_BK: Unnormalised scores that it should imitate.
        temperature: Softening of both distributions, above 0. A tensor of one number is taken unseen, since looking at
            it would wait for its device.
        direction: ``teacher_to_student`` is KL(p || q), which asks the student to cover all that the teacher deems
            possible; ``student_to_teacher`` is KL(q || p).
        reduction: ``batchmean`` divides by B; ``mean`` by B * K, what ``torch.nn.KLDivLoss`` does unless told, and
            which makes the term K times smaller.
        scale_by_temperature_squared: Multiply by T^2. The gradient of the divergence falls as 1 / T^2; the factor
            keeps one alpha meaning the same at every temperature.

    Raises:
        ValueError: If ``temperature`` is a number not above 0, or a convention is unknown.
    """
    if not isinstance(temperature, Tensor) and temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")
    student_log_probs_BK = F.log_softmax(student_logits_BK / temperature, dim=-1)
    teacher_log_probs_BK = F.log_softmax(teacher_logits_BK.detach() / temperature, dim=-1)
    match direction:
        case "teacher_to_student":
            input_BK, target_BK = student_log_probs_BK, teacher_log_probs_BK
        case "student_to_teacher":
            input_BK, target_BK = teacher_log_probs_BK, student_log_probs_BK
        case _:
            raise ValueError(f"direction must be teacher_to_student or student_to_teacher, got {direction}.")
    if reduction not in ("batchmean", "mean"):
        raise ValueError(f"reduction must be batchmean or mean, got {reduction}.")
    divergence = F.kl_div(input_BK, target_BK, reduction="batchmean", log_target=True)
    if reduction == "mean":
        # Divided here: torch warns on every use of its own mean that a later release will change what it means.
        divergence = divergence / student_logits_BK.shape[-1]
    return temperature**2 * divergence if scale_by_temperature_squared else divergence


def joint_loss(
    student_logits_BK: Tensor,
    *,
    labels_B: Tensor | None,
    teacher_logits_BK: Tensor | None,
    distillation_weight: float,
    temperature: float | None,
    direction: str = "teacher_to_student",
    reduction: str = "batchmean",
    scale_by_temperature_squared: bool = True,
) -> Tensor:
    """Return ``w * D + (1 - w) * CE``, a scalar.

    A term of weight 0 is not computed: at w = 0 neither teacher nor temperature is looked at, at w = 1 no label is.

    Args:
        student_logits_BK: Unnormalised scores of the network being trained.
        labels_B: Classes, needed unless ``distillation_weight`` is 1.
        teacher_logits_BK: Scores of the teacher, needed unless ``distillation_weight`` is 0.
        distillation_weight: w, from 0 to 1.
        temperature: T of ``softened_divergence``, needed unless ``distillation_weight`` is 0.
        direction: As in ``softened_divergence``.
        reduction: As in ``softened_divergence``.
        scale_by_temperature_squared: As in ``softened_divergence``.

    Raises:
        ValueError: If the weight is outside 0 to 1, or a term of the loss lacks what it is computed from.
    """
    if not 0 <= distillation_weight <= 1:
        raise ValueError(f"distillation_weight must be from 0 to 1, got {distillation_weight}.")
    terms: list[Tensor] = []
    if distillation_weight > 0:
        if teacher_logits_BK is None or temperature is None:
            raise ValueError(
                f"teacher_logits_BK and temperature are required when distillation_weight is {distillation_weight}."
            )
        divergence = softened_divergence(
            student_logits_BK,
            teacher_logits_BK,
            temperature=temperature,
            direction=direction,
            reduction=reduction,
            scale_by_temperature_squared=scale_by_temperature_squared,
        )
        terms.append(distillation_weight * divergence)
    if distillation_weight < 1:
        if labels_B is None:
            raise ValueError(f"labels_B is required when distillation_weight is {distillation_weight}.")
        terms.append((1 - distillation_weight) * F.cross_entropy(student_logits_BK, labels_B))
    return torch.stack(terms).sum()
