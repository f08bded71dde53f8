"""Collaborative learning with intermediate-level representation sharing (CL-ILR).

Each head of a network learns from the mean of the logits of all other heads.

Shape suffixes: M = branches, B = batch, K = classes.
"""

from torch import Tensor

from peerkd.losses.online.branches import (
    check_collaboration,
    cross_entropy_of_branches,
    divergence_from_teacher,
    mean_of_others,
)
from peerkd.losses.online.parts import LossParts


def collaborative_loss(
    logits_MBK: Tensor, labels_B: Tensor, *, temperature: float, cross_entropy_weight: float
) -> LossParts:
    """Return the parts of the loss of CL-ILR (Song and Chai 2018, arXiv:1805.11761, section 2).

    z_j are the logits of head j. The parts are already multiplied by their weights, beta and 1 - beta::

        cross_entropy_branches  beta sum_j CE(z_j, y)
        others_to_branches      (1 - beta) T^2 sum_j KL(softmax(mean_{l != j} z_l / T) || softmax(z_j / T))

    Targets are treated as constants. In place of the divergence, the paper uses the cross entropy between the softened
    outputs. Cross entropy and divergence differ by the entropy of the targets, which is constant, so their gradients
    are the same. The paper also divides the gradient that enters the trunk by the number of heads; ``BranchedNetwork``
    does this.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        temperature: T, above 0.
        cross_entropy_weight: beta, above 0 and at most 1.

    Raises:
        ValueError: If there are fewer than two heads, or ``temperature`` or ``cross_entropy_weight`` is out of range.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    if not 0 < cross_entropy_weight <= 1:
        raise ValueError(f"cross_entropy_weight must be above 0 and at most 1, got {cross_entropy_weight}.")
    divergence = divergence_from_teacher(
        logits_MBK, teacher_logits=mean_of_others(logits_MBK.detach()), temperature=temperature
    )
    return LossParts(
        supervised={"cross_entropy_branches": cross_entropy_weight * cross_entropy_of_branches(logits_MBK, labels_B)},
        distilled={"others_to_branches": (1 - cross_entropy_weight) * divergence},
    )
