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

    The terms have the same form as in the only public code of PCL, which ``peerkd.results.published`` names.

    There are m branches, each with its own view of a sample. z_j are the logits of branch j for its view, z_e the
    logits of the ensemble's classifier for the features of all branches, and t_l the logits of the moving average of
    branch l for the view of branch l::

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
        ensemble_logits_BK: z_e. None omits the parts ``cross_entropy_ensemble`` and ``ensemble_to_branches``.
        mean_logits_MBK: t_l. None omits the part ``means_to_branches``.
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
