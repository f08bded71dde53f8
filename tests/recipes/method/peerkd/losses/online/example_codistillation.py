"""Codistillation: every network is taught by the average of the predictions of all others.

Shape suffixes: M = branches, B = batch, K = classes.
"""

from torch import Tensor

from peerkd.losses.online.branches import (
    check_collaboration,
    cross_entropy_of_branches,
    divergence_from_probabilities,
    mean_of_others,
)
from peerkd.losses.online.parts import LossParts


def example_codistillation_loss(logits_MBK: Tensor, labels_B: Tensor, *, temperature: float) -> LossParts:
    """Return the parts of the loss of codistillation (Anil et al. 2018, arXiv:1804.03235, algorithm 1).

    With z_j the logits of network j::

        cross_entropy_branches  sum_j CE(z_j, y)
        average_to_branches     T^2 sum_j KL(1 / (m - 1) sum_{l != j} softmax(z_l / T) || softmax(z_j / T))

    The average is a constant. The paper has T = 1.

    Args:
        logits_MBK: z_j.
        labels_B: Classes y.
        temperature: T, above 0.

    Raises:
        ValueError: If there are fewer than two networks, or ``temperature`` is not above 0.
    """
    check_collaboration(logits_MBK, temperature=temperature)
    targets_MBK = mean_of_others((logits_MBK.detach() / temperature).softmax(-1))
    return LossParts(
        supervised={"cross_entropy_branches": cross_entropy_of_branches(logits_MBK, labels_B)},
        distilled={
            "average_to_branches": divergence_from_probabilities(
                logits_MBK, targets=targets_MBK, temperature=temperature
            )
        },
    )
