"""The terms of the losses of several branches. A term is the mean over the batch, summed over the branches.

A divergence is ``T^2 * mean_B KL(p || q)``, where p is the distribution of the teacher at temperature T, and q is the
distribution of the branch at temperature T. m is the number of branches, and mean_B is the mean over the batch.
``peerkd.losses.pairs.term`` derives the factor T^2 (Hinton et al. 2015, section 2). All terms are computed from
log-probabilities and without a loop over branches.

Shape suffixes: M = branches, B = batch, K = classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def check_collaboration(logits_MBK: Tensor, *, temperature: float, least_branches: int = 2) -> None:
    """Check the number of branches and the temperature.

    Raises:
        ValueError: If there are fewer branches than ``least_branches``, or ``temperature`` is not above 0.
    """
    if logits_MBK.shape[0] < least_branches:
        raise ValueError(f"num_branches must be at least {least_branches}, got {logits_MBK.shape[0]}.")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")


def cross_entropy_of_branches(logits_MBK: Tensor, labels_B: Tensor) -> Tensor:
    """Return ``sum_j mean_B CE(z_j, y)``, a scalar. For one branch it equals the plain cross entropy bit for bit.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        labels_B: Classes y, the same for all branches.
    """
    num_branches = logits_MBK.shape[0]
    return num_branches * F.cross_entropy(logits_MBK.flatten(0, 1), labels_B.repeat(num_branches))


def mean_of_others(values_MBK: Tensor) -> Tensor:
    """Return, for each branch, the mean of the values of all other branches, with shape [M, B, K]."""
    return (values_MBK.sum(dim=0) - values_MBK) / (values_MBK.shape[0] - 1)


def divergence_from_teacher(logits_MBK: Tensor, *, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 * sum_j mean_B KL(softmax(t_j / T) || softmax(z_j / T))``, a scalar.

    z_j are the logits of branch j, and t_j are the logits of the teacher of branch j. The teacher is treated as a
    constant: no gradient flows into ``teacher_logits``.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        teacher_logits: Unnormalised scores t_j: [M, B, K] if each branch has its own teacher, or [B, K] if all branches
            have the same teacher.
        temperature: T, above 0.
    """
    log_probs_MBK = F.log_softmax(logits_MBK / temperature, dim=-1)
    teacher_log_probs = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)
    divergence = (teacher_log_probs.exp() * (teacher_log_probs - log_probs_MBK)).sum() / logits_MBK.shape[1]
    return temperature**2 * divergence


def divergence_from_others(logits_MBK: Tensor, *, teacher_logits_MBK: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 * sum_j 1 / (m - 1) * sum_{l != j} mean_B KL(p_l || q_j)``, a scalar.

    There are m branches and m teachers. Teacher l has the distribution p_l, the softmax of its logits t_l divided by T.
    Branch j has the distribution q_j, the softmax of its logits z_j divided by T. All teachers except teacher j teach
    branch j. Teachers are treated as constants: no gradient flows into ``teacher_logits_MBK``.

    The double sum has m * (m - 1) divergences, but exchanging the two sums reduces the work to m products. Let
    ``<a, b>`` be the sum over the classes k of a_k b_k. Then ``KL(p || q) = <p, log p - log q>``. For one sample, the
    double sum is::

        sum_j 1 / (m - 1) sum_{l != j} <p_l, log p_l - log q_j>
          = sum_l <p_l, 1 / (m - 1) sum_{j != l} (log p_l - log q_j)>
          = sum_l <p_l, log p_l - mean_{j != l} log q_j>

    The difference of the logarithms is taken for each class before the sum over classes, so no precision is lost to
    cancellation if teacher and branch agree.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        teacher_logits_MBK: Unnormalised scores t_l of the same number of teachers.
        temperature: T, above 0.
    """
    log_probs_MBK = F.log_softmax(logits_MBK / temperature, dim=-1)
    teacher_log_probs_MBK = F.log_softmax(teacher_logits_MBK.detach() / temperature, dim=-1)
    differences_MBK = teacher_log_probs_MBK - mean_of_others(log_probs_MBK)
    return temperature**2 * (teacher_log_probs_MBK.exp() * differences_MBK).sum() / logits_MBK.shape[1]


def divergence_from_probabilities(logits_MBK: Tensor, *, targets: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 * sum_j mean_B KL(p_j || softmax(z_j / T))``, a scalar.

    z_j are the logits of branch j, and p_j is its target, a mixture of distributions, for which no logits exist.
    Gradients flow into the targets unless the caller detaches them. The other divergences of this module treat their
    teachers as constants.

    Args:
        logits_MBK: Unnormalised scores z_j of each branch.
        targets: Probabilities p_j at temperature T: [M, B, K], or [B, K] if all branches have the same target.
        temperature: T, above 0.
    """
    log_probs_MBK = F.log_softmax(logits_MBK / temperature, dim=-1)
    # A probability that is too small for its dtype is 0. The bound makes 0 * log 0 and its gradient 0 instead of NaN.
    log_targets = targets.clamp_min(torch.finfo(targets.dtype).tiny).log()
    return temperature**2 * (targets * (log_targets - log_probs_MBK)).sum() / logits_MBK.shape[1]
