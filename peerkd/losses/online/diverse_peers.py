"""Online distillation with diverse peers (OKDDip): each branch has its own target, and a leader learns from all.

Shape suffixes: M = branches, A = M - 1 auxiliary branches, B = batch, K = classes.
"""

import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.online.branches import check_collaboration, cross_entropy_of_branches, divergence_from_probabilities
from peerkd.losses.online.parts import LossParts


def diverse_peers_loss(logits_MBK: Tensor, labels_B: Tensor, *, attention_BAA: Tensor, temperature: float) -> LossParts:
    """Return the parts of the loss of OKDDip (Chen et al. 2020, arXiv:1912.00350, section 3).

    The last branch is the leader, and all other branches are auxiliary. z_j are the logits of branch j. For the
    auxiliary branches a and b, ``p_b = softmax(z_b / T)`` are the softened probabilities of b, and w_ab is the
    attention that a pays to b::

        cross_entropy_branches  sum_j CE(z_j, y), including the leader's
        attention_to_branches   T^2 sum_a KL(sum_b w_ab p_b || p_a)
        branches_to_leader      T^2 KL(mean_b p_b || softmax(z_leader / T))

    The probabilities p_b in the targets are treated as constants. The attention w_ab is not a constant: it is trained
    by the gradient of ``attention_to_branches`` alone. This function averages probabilities, as the paper does. The
    released code averages logits instead, and lets gradients flow into the teachers.

    Args:
        logits_MBK: z, with the leader last.
        labels_B: Classes y.
        attention_BAA: w for each sample, with rows a and columns b. Each row sums to 1.
        temperature: T, above 0.

    Raises:
        ValueError: If there are fewer than three branches, ``temperature`` is not above 0, or the shape of the
            attention does not fit that of the logits.
    """
    check_collaboration(logits_MBK, temperature=temperature, least_branches=3)
    num_branches, batch_size, _ = logits_MBK.shape
    fitting = (batch_size, num_branches - 1, num_branches - 1)
    if attention_BAA.shape != fitting:
        raise ValueError(f"attention_BAA must have the shape {fitting}, got {tuple(attention_BAA.shape)}.")
    probs_ABK = F.softmax(logits_MBK[:-1].detach() / temperature, dim=-1)
    # Not a matrix product, which some settings of torch round to fewer bits for speed.
    targets_ABK = (attention_BAA.permute(1, 2, 0).unsqueeze(-1) * probs_ABK).sum(dim=1)
    return LossParts(
        supervised={"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B)},
        distilled={
            "attention_to_branches": divergence_from_probabilities(
                logits_MBK[:-1], targets=targets_ABK, temperature=temperature
            ),
            "branches_to_leader": divergence_from_probabilities(
                logits_MBK[-1:], targets=probs_ABK.mean(dim=0), temperature=temperature
            ),
        },
    )
