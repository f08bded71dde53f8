"""The loss of joint distillation of a pair: a distillation term and the cross entropy, weighted.

Shape suffixes: B = batch, K = classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.pairs.term import HINTON, DistillationTerm


def joint_loss(
    student_logits_BK: Tensor,
    *,
    labels_B: Tensor | None,
    teacher_logits_BK: Tensor | None,
    distillation_weight: float,
    temperature: float | None,
    term: DistillationTerm = HINTON,
) -> Tensor:
    """Return ``w * D + (1 - w) * CE``, a scalar.

    A term of weight 0 is not computed: w = 0 needs neither teacher nor temperature, and w = 1 needs no labels unless D
    does.

    Args:
        student_logits_BK: Unnormalised scores of the network that is trained.
        labels_B: Classes, required unless ``distillation_weight`` is 1.
        teacher_logits_BK: Scores of the teacher, required unless ``distillation_weight`` is 0.
        distillation_weight: w, from 0 to 1.
        temperature: T of D, required unless ``distillation_weight`` is 0.
        term: D.

    Raises:
        ValueError: If the weight is outside 0 to 1, or an argument that a term requires is missing.
    """
    if not 0 <= distillation_weight <= 1:
        raise ValueError(f"distillation_weight must be from 0 to 1, got {distillation_weight}.")
    terms: list[Tensor] = []
    if distillation_weight > 0:
        if teacher_logits_BK is None or temperature is None:
            raise ValueError(
                f"teacher_logits_BK and temperature are required when distillation_weight is {distillation_weight}."
            )
        distilled = term.reduced(student_logits_BK, teacher_logits_BK, labels_B=labels_B, temperature=temperature)
        terms.append(distillation_weight * distilled)
    if distillation_weight < 1:
        if labels_B is None:
            raise ValueError(f"labels_B is required when distillation_weight is {distillation_weight}.")
        terms.append((1 - distillation_weight) * F.cross_entropy(student_logits_BK, labels_B))
    return torch.stack(terms).sum()
