"""On-the-fly native ensemble (ONE): the gated sum of the branches' logits teaches each branch.

Shape suffixes: M = branches, B = batch, K = classes.
"""

import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.online.branches import check_collaboration, cross_entropy_of_branches, divergence_from_teacher
from peerkd.losses.online.parts import LossParts


def native_ensemble_loss(
    logits_MBK: Tensor, labels_B: Tensor, *, ensemble_logits_BK: Tensor, temperature: float
) -> LossParts:
    """Return the parts of the loss of ONE (Lan et al. 2018, arXiv:1806.04606, section 3).

    z_j are the logits of branch j, and z_e is the sum of all z_j weighted by the gate::

        cross_entropy_branches  sum_j CE(z_j, y)
        cross_entropy_ensemble  CE(z_e, y)
        ensemble_to_branches    T^2 sum_j KL(softmax(z_e / T) || softmax(z_j / T))

    In the divergence, z_e is treated as a constant, so the gate learns from the labels alone.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        ensemble_logits_BK: z_e.
        temperature: T, above 0.

    Raises:
        ValueError: If there are fewer than two branches, or ``temperature`` is not above 0.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    return LossParts(
        supervised={
            "cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B),
            "cross_entropy_ensemble": F.cross_entropy(ensemble_logits_BK, labels_B),
        },
        distilled={
            "ensemble_to_branches": divergence_from_teacher(
                logits_MBK, teacher_logits=ensemble_logits_BK, temperature=temperature
            )
        },
    )
