"""Deep mutual learning (DML): every network is taught by all others.

Shape suffixes: M = branches, B = batch, K = classes.
"""

from torch import Tensor

from peerkd.losses.online.branches import check_collaboration, cross_entropy_of_branches, divergence_from_others
from peerkd.losses.online.parts import LossParts


def mutual_loss(logits_MBK: Tensor, labels_B: Tensor, *, temperature: float) -> LossParts:
    """Return the parts of the loss of DML (Zhang et al. 2018, arXiv:1706.00384, the extension to more networks).

    There are m networks, and z_j are the logits of network j::

        cross_entropy_branches  sum_j CE(z_j, y)
        branches_to_branches    T^2 sum_j 1 / (m - 1) sum_{l != j} KL(softmax(z_l / T) || softmax(z_j / T))

    The teaching networks are treated as constants. The paper uses T = 1 and updates the networks in turn. Here, one
    loss updates all networks, and each network receives gradients only from its own terms.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        temperature: T, above 0.

    Raises:
        ValueError: If there are fewer than two networks, or ``temperature`` is not above 0.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    return LossParts(
        supervised={"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B)},
        distilled={
            "branches_to_branches": divergence_from_others(
                logits_MBK, teacher_logits_MBK=logits_MBK, temperature=temperature
            )
        },
    )
