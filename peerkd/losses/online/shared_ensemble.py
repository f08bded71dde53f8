"""Knowledge distillation via collaborative learning (KDCL): one teacher, made of all logits, teaches each network.

Shape suffixes: M = branches, B = batch, K = classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.online.branches import check_collaboration, cross_entropy_of_branches, divergence_from_teacher
from peerkd.losses.online.parts import LossParts


def shared_ensemble_loss(logits_MBK: Tensor, labels_B: Tensor, *, temperature: float, ensemble: str) -> LossParts:
    """Return the parts of the loss of KDCL (Guo et al. 2020, CVPR).

    z_j are the logits of network j for its view of the samples, and z_e the logits of the teacher, which
    ``teacher_of_all`` makes from all z_j::

        cross_entropy_branches  sum_j CE(z_j, y)
        ensemble_to_branches    T^2 sum_j KL(softmax(z_e / T) || softmax(z_j / T))

    The teacher is treated as a constant.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        temperature: T, above 0.
        ensemble: The kind of the teacher: ``min_logit``, ``naive`` or ``mean``. ``teacher_of_all`` defines them.

    Raises:
        ValueError: If there are fewer than two networks, ``temperature`` is not above 0, or ``ensemble`` is unknown.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    teacher_logits_BK = teacher_of_all(logits_MBK, labels_B, ensemble=ensemble)
    return LossParts(
        supervised={"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B)},
        distilled={
            "ensemble_to_branches": divergence_from_teacher(
                logits_MBK, teacher_logits=teacher_logits_BK, temperature=temperature
            )
        },
    )


def teacher_of_all(logits_MBK: Tensor, labels_B: Tensor, *, ensemble: str) -> Tensor:
    """Return the detached logits of the teacher, [B, K].

    Args:
        logits_MBK: Unnormalised scores z_j of each network j. z_j[c] is the score of class c.
        labels_B: Classes y.
        ensemble: ``min_logit`` is ``min_j (z_j[c] - z_j[y])`` for each class c: the smallest lead of class c over the
            label y in any network (KDCL-MinLogit). ``naive`` is, for each sample, the logits of the network with the
            smallest cross entropy (KDCL-Naive). ``mean`` is the mean of the logits, as in public reimplementations.

    Raises:
        ValueError: If ``ensemble`` is unknown.
    """
    logits_MBK = logits_MBK.detach()
    labels_MB1 = labels_B.expand(logits_MBK.shape[:2]).unsqueeze(-1)
    match ensemble:
        case "min_logit":
            return (logits_MBK - logits_MBK.gather(-1, labels_MB1)).amin(dim=0)
        case "naive":
            best_B = F.log_softmax(logits_MBK, dim=-1).gather(-1, labels_MB1).squeeze(-1).argmax(dim=0)
            return logits_MBK[best_B, torch.arange(len(best_B), device=best_B.device)]
        case "mean":
            return logits_MBK.mean(dim=0)
        case _:
            raise ValueError(f"ensemble must be min_logit, naive or mean, got {ensemble}.")
