"""What the losses of several branches are made of: each function returns a sum over branches of means over the batch.

A divergence is ``T^2 * mean_B KL(p || q)``, where p is the teacher's and q the branch's distribution at temperature T.
The factor is Hinton's: see ``peerkd.losses.pairs.term``. All are computed from log-probabilities, and no function
loops over branches.

Shape suffixes: M = branches, B = batch, K = classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def check_collaboration(logits_MBK: Tensor, *, temperature: float, least_branches: int = 2) -> None:
    """Refuse what no collaboration can be computed from.

    Raises:
        ValueError: If there are fewer branches than ``least_branches``, or ``temperature`` is not above 0.
    """
    if logits_MBK.shape[0] < least_branches:
        raise ValueError(f"num_branches must be at least {least_branches}, got {logits_MBK.shape[0]}.")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")


def cross_entropy_of_branches(logits_MBK: Tensor, labels_B: Tensor) -> Tensor:
    """Return ``sum_j mean_B CE(z_j, y)``, a scalar; for one branch to the last bit the plain cross entropy.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        labels_B: Classes y, the same for all branches.
    """
    num_branches = logits_MBK.shape[0]
    return num_branches * F.cross_entropy(logits_MBK.flatten(0, 1), labels_B.repeat(num_branches))


def mean_of_others(values_MBK: Tensor) -> Tensor:
    """Return for each branch the mean over all branches but itself, [M, B, K]."""
    return (values_MBK.sum(dim=0) - values_MBK) / (values_MBK.shape[0] - 1)


def divergence_from_teacher(logits_MBK: Tensor, *, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 * sum_j mean_B KL(softmax(t_j / T) || softmax(z_j / T))``, a scalar.

    The teacher is a constant: no gradient flows into ``teacher_logits``.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        teacher_logits: Unnormalised scores t, [B, K] where one teacher teaches all, [M, B, K] where each has its own.
        temperature: T, above 0.
    """
    log_probs_MBK = F.log_softmax(logits_MBK / temperature, dim=-1)
    teacher_log_probs = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)
    divergence = (teacher_log_probs.exp() * (teacher_log_probs - log_probs_MBK)).sum() / logits_MBK.shape[1]
    return temperature**2 * divergence


def divergence_from_others(logits_MBK: Tensor, *, teacher_logits_MBK: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 * sum_j 1 / (m - 1) * sum_{l != j} mean_B KL(p_l || q_j)``, a scalar.

    ``p_l = softmax(t_l / T)`` and ``q_j = softmax(z_j / T)``. Every branch is taught by all teachers but the one of its
    own place, and teachers are constants: no gradient flows into ``teacher_logits_MBK``.

    Summed over branches first, all m * (m - 1) pairs are ``sum_l <p_l, log p_l - mean_{j != l} log q_j>``: the work of
    m pairs. Entropy and cross entropy cancel class by class, so that nothing is lost where teacher and branch agree.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        teacher_logits_MBK: Unnormalised scores t_l of as many teachers.
        temperature: T, above 0.
    """
    log_probs_MBK = F.log_softmax(logits_MBK / temperature, dim=-1)
    teacher_log_probs_MBK = F.log_softmax(teacher_logits_MBK.detach() / temperature, dim=-1)
    differences_MBK = teacher_log_probs_MBK - mean_of_others(log_probs_MBK)
    return temperature**2 * (teacher_log_probs_MBK.exp() * differences_MBK).sum() / logits_MBK.shape[1]


def divergence_from_probabilities(logits_MBK: Tensor, *, targets: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 * sum_j mean_B KL(p_j || softmax(z_j / T))``, a scalar.

    For mixtures of distributions, which are the softmax of nothing at hand. Unlike from the teachers above, gradient
    flows into the targets: who does not want it detaches them.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        targets: Probabilities p, softened already, [B, K] or [M, B, K].
        temperature: T, above 0.
    """
    log_probs_MBK = F.log_softmax(logits_MBK / temperature, dim=-1)
    # A probability too small for its dtype is 0; the bound keeps 0 * log 0 and its gradient at 0.
    log_targets = targets.clamp_min(torch.finfo(targets.dtype).tiny).log()
    return temperature**2 * (targets * (log_targets - log_probs_MBK)).sum() / logits_MBK.shape[1]
