"""Peer collaborative learning (PCL): an ensemble and the moving averages of the other branches teach each branch.

Shape suffixes: M = branches, B = batch, K = classes.
"""

import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.online.branches import (
    check_collaboration,
    cross_entropy_of_branches,
    divergence_from_others,
    divergence_from_teacher,
)
from peerkd.losses.online.parts import LossParts


def pcl_loss(
    logits_MBK: Tensor,
    labels_B: Tensor,
    *,
    ensemble_logits_BK: Tensor | None,
    mean_logits_MBK: Tensor | None,
    temperature: float,
) -> LossParts:
    """Return the parts of the loss of PCL (Wu and Gong 2021, AAAI, arXiv:2006.04147, figure 2).

    The form of the terms is that of the only public code, which ``peerkd.results.published`` names.

    With z_j the logits of branch j on its view, z_e those of the ensemble's classifier on the features of all branches,
    and t_l those of the moving average of branch l on the view of branch l::

        cross_entropy_branches  sum_j CE(z_j, y)
        cross_entropy_ensemble  CE(z_e, y)
        ensemble_to_branches    T^2 sum_j KL(softmax(z_e / T) || softmax(z_j / T))
        means_to_branches       T^2 sum_j 1 / (m - 1) sum_{l != j} KL(softmax(t_l / T) || softmax(z_j / T))

    Both kinds of teachers are treated as constants. The ensemble learns from its cross entropy alone, whose gradient
    also flows into the features of all branches. No branch is taught by its own moving average, which sees the same
    view.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        ensemble_logits_BK: z_e. None omits both parts of the ensemble.
        mean_logits_MBK: t_l. None omits the part of the moving averages.
        temperature: T, above 0.

    Raises:
        ValueError: If there are fewer than two branches, or ``temperature`` is not above 0.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    supervised = {"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B)}
    distilled: dict[str, Tensor] = {}
    if ensemble_logits_BK is not None:
        supervised["cross_entropy_ensemble"] = F.cross_entropy(ensemble_logits_BK, labels_B)
        distilled["ensemble_to_branches"] = divergence_from_teacher(
            logits_MBK, teacher_logits=ensemble_logits_BK, temperature=temperature
        )
    if mean_logits_MBK is not None:
        distilled["means_to_branches"] = divergence_from_others(
            logits_MBK, teacher_logits_MBK=mean_logits_MBK, temperature=temperature
        )
    return LossParts(supervised=supervised, distilled=distilled)
