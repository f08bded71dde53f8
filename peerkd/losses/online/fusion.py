"""Feature fusion learning (FFL): branches and the classifier on their fused feature maps teach each other.

Shape suffixes: M = branches, B = batch, K = classes.
"""

import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.online.branches import check_collaboration, cross_entropy_of_branches, divergence_from_teacher
from peerkd.losses.online.parts import LossParts


def fusion_loss(logits_MBK: Tensor, labels_B: Tensor, *, fused_logits_BK: Tensor, temperature: float) -> LossParts:
    """Return the parts of the loss of FFL-S (Kim et al. 2019, arXiv:1904.09058).

    Reports call this method FFL-S. z_j are the logits of branch j. z_f are the logits of the classifier on the fused
    feature maps::

        cross_entropy_branches  sum_j CE(z_j, y)
        cross_entropy_fused     CE(z_f, y)
        fused_to_branches       T^2 sum_j KL(softmax(z_f / T) || softmax(z_j / T))
        branches_to_fused       T^2 KL(softmax(mean_j z_j / T) || softmax(z_f / T))

    In both divergences, the distribution of the teacher, which stands first, is treated as a constant. The mean over
    branches is a mean of logits, before the softmax.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        fused_logits_BK: z_f.
        temperature: T, above 0.

    Raises:
        ValueError: If there are fewer than two branches, or ``temperature`` is not above 0.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    return LossParts(
        supervised={
            "cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B),
            "cross_entropy_fused": F.cross_entropy(fused_logits_BK, labels_B),
        },
        distilled={
            "fused_to_branches": divergence_from_teacher(
                logits_MBK, teacher_logits=fused_logits_BK, temperature=temperature
            ),
            "branches_to_fused": divergence_from_teacher(
                fused_logits_BK.unsqueeze(0), teacher_logits=logits_MBK.detach().mean(dim=0), temperature=temperature
            ),
        },
    )
