"""Quantity skew: the number of samples of each peer, independent of their labels."""

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.partition.apportion import largest_remainder
from peerkd.data.partition.checks import check_at_least, check_concentration
from peerkd.data.partition.draw import draw_log_dirichlet


def equal_sizes(num_samples: int, *, num_peers: int) -> IntArray:
    """Return ``num_peers`` sizes that sum to ``num_samples`` and differ by at most one.

    Args:
        num_samples: Number of samples to divide, at least ``num_peers``.
        num_peers: Number of peers, at least 1.

    Raises:
        ValueError: If ``num_peers`` is below 1, or there are fewer samples than peers.
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
    """Return sizes that sum to ``num_samples``, in proportions drawn from a symmetric Dirichlet distribution.

    This is the quantity skew of Li et al. 2022 (NIID-Bench, arXiv:2102.02079).
    A draw in which a peer is too small is rejected and repeated, so the result
    is a Dirichlet draw *conditional* on the minimum. If few draws are accepted,
    the skew is milder than ``concentration`` suggests. The number of attempts
    is limited.

    Args:
        num_samples: Number of samples to divide.
        num_peers: Number of peers, at least 1.
        concentration: The value of every parameter of the distribution, from 1e-6 to 1e9. A small value gives unequal
            sizes, a large value nearly equal sizes.
        min_samples_per_peer: Smallest acceptable size, at least 1.
        max_attempts: Number of draws before giving up, at least 1.
        rng: Generator of the draws.

    Raises:
        ValueError: If an argument is out of range, no sizes can meet the
            minimum, or none of ``max_attempts`` draws meets it.
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
        f"None of {max_attempts} draws gave every peer at least {min_samples_per_peer} samples "
        f"(less than {100 / max_attempts:.2g} % are accepted): raise concentration ({concentration}), "
        f"lower min_samples_per_peer or lower num_peers ({num_peers})."
    )
