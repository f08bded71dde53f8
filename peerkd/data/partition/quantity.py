"""Quantity skew: how many samples each peer gets, whatever their labels."""

import numpy as np

from peerkd.data.partition.apportion import largest_remainder
from peerkd.data.partition.arrays import IntArray
from peerkd.data.partition.checks import check_at_least, check_concentration
from peerkd.data.partition.draw import draw_log_dirichlet


def equal_sizes(num_samples: int, *, num_peers: int) -> IntArray:
    """Return ``num_peers`` sizes that sum to ``num_samples`` and differ by at most one.

    Args:
        num_samples: Number of samples to divide, at least ``num_peers``.
        num_peers: Number of peers, at least 1.

    Raises:
        ValueError: If there are no peers, or fewer samples than peers.
    """
    check_at_least("num_peers", num_peers, 1)
    check_at_least("num_samples", num_samples, num_peers)
    return largest_remainder(num_samples, np.ones(num_peers))


def dirichlet_sizes(
    num_samples: int,
    *,
    num_peers: int,
    concentration: float,
    min_samples_per_peer: int,
    max_attempts: int,
    rng: np.random.Generator,
) -> IntArray:
    """Return sizes that sum to ``num_samples``, in proportions drawn from ``Dir(concentration * 1)``.

    This is the quantity skew of Li et al. 2022 (NIID-Bench, arXiv:2102.02079).
    A draw that leaves a peer too small is drawn again, so the
    result is a Dirichlet draw *given* the minimum: where few draws are
    accepted it is milder than ``concentration`` says. The attempts are
    bounded, and the failure states the rate.

    Args:
        num_samples: Number of samples to divide.
        num_peers: Number of peers, at least 1.
        concentration: From 1e-6 to 1e9; small is unequal, large is equal.
        min_samples_per_peer: Smallest acceptable size, at least 1.
        max_attempts: Number of draws before giving up, at least 1.
        rng: Source of the draws.

    Raises:
        ValueError: If an argument is out of range, the minimum cannot be met
            by any sizes, or no draw out of ``max_attempts`` met it.
    """
    check_at_least("num_peers", num_peers, 1)
    check_at_least("min_samples_per_peer", min_samples_per_peer, 1)
    check_at_least("max_attempts", max_attempts, 1)
    check_concentration(concentration)
    if num_peers * min_samples_per_peer > num_samples:
        raise ValueError(
            f"num_samples must be at least num_peers * min_samples_per_peer = {num_peers * min_samples_per_peer}, "
            f"got {num_samples}."
        )
    for _ in range(max_attempts):
        log_shares = draw_log_dirichlet(np.full(num_peers, concentration), num_draws=1, rng=rng)[0]
        sizes = largest_remainder(num_samples, np.exp(log_shares))
        if sizes.min() >= min_samples_per_peer:
            return sizes
    raise ValueError(
        f"No draw in {max_attempts} gave every peer at least {min_samples_per_peer} samples "
        f"(acceptance below {100 / max_attempts:.2g} %): raise concentration ({concentration}), "
        f"lower min_samples_per_peer or lower num_peers ({num_peers})."
    )
