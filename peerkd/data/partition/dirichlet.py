"""Label skew by Dirichlet draws, independent of quantity skew."""

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.data.partition.checks import check_concentration, check_labels, check_sizes
from peerkd.data.partition.deal import deal_classes
from peerkd.data.partition.draw import draw_log_dirichlet
from peerkd.data.partition.margins import fit_margins, round_to_margins

LOG_NEGLIGIBLE = -20.0
"""The logarithm of the proportion 2e-9. A class with this proportion has less than one sample in a peer of any
realistic size."""


def partition_dirichlet(
    labels: IntArray, *, sizes: IntArray, concentration: float, rng: np.random.Generator
) -> list[IntArray]:
    """Return a partition in which peer p has class proportions drawn from ``Dir(concentration * num_classes * prior)``.

    As in Hsu et al. 2019 (arXiv:1909.06335), there is one draw per *peer*
    around ``prior``, the class proportions of the whole set. With balanced
    classes every Dirichlet parameter equals ``concentration``; the ``alpha`` of
    Hsu et al. is ``concentration * num_classes``. Other work (Yurochkin et al.
    2019, Li et al. 2022) draws once per *class*, which makes the sizes of peers
    unequal as well. Here only ``sizes`` determines the size of a peer.

    All samples are assigned, so the drawn proportions are fitted to both the sizes and the class totals (see
    ``fit_margins``). Hsu et al. instead fill one peer after the other, and the last peers get the remaining samples.
    The fitting changes little if the concentration is large. If it is very small, each draw is close to a single class,
    and several peers may draw a class that has too few samples for all of them. The fitting then gives each of these
    peers samples of other classes, first of the class with the next largest proportion in the peer's own draw. The
    proportions stay skewed but become less extreme than the draws, most of all with few peers: two equal peers divide
    ten classes into five and five.

    Args:
        labels: (num_samples,) class of each sample.
        sizes: (num_peers,) each at least 1, summing to ``num_samples``.
        concentration: From 1e-6 to 1e9. A small value gives peers with few classes each; with a large value, the
            proportions approach ``prior``.
        rng: Generator of the draws.

    Returns:
        One ascending index array per peer; disjoint and complete, with exactly ``sizes[p]`` samples.

    Raises:
        ValueError: If an argument is malformed or out of range.
    """
    check_labels(labels)
    check_sizes(sizes, num_samples=len(labels))
    check_concentration(concentration)
    _, classes, class_totals = np.unique(labels, return_inverse=True, return_counts=True)
    prior = class_totals / len(labels)
    log_proportions = draw_log_dirichlet(concentration * len(prior) * prior, num_draws=len(sizes), rng=rng)
    target: FloatArray = np.exp(_lift_negligible(log_proportions)) * sizes[:, np.newaxis]
    fitted = fit_margins(target, row_sums=sizes, column_sums=class_totals)
    counts = round_to_margins(fitted, row_sums=sizes, column_sums=class_totals)
    return deal_classes(classes, counts, rng=rng)


def _lift_negligible(log_proportions: FloatArray) -> FloatArray:
    """Return the logarithms, with each value below ``LOG_NEGLIGIBLE`` raised towards this limit.

    Small concentrations give logarithms below -1000, and the exponentials of such logarithms all underflow to 0. The
    raised values keep their order. If all of them were equal instead, the order of these classes would be lost: when
    the largest classes of a peer have no samples left, the peer would get all other classes in equal parts.
    """
    # x < L := LOG_NEGLIGIBLE becomes L * (1 + log(1 + (L - x) / -L)), which continues x at L with the same slope.
    excess = np.maximum(LOG_NEGLIGIBLE - log_proportions, 0) / -LOG_NEGLIGIBLE
    return np.maximum(log_proportions, LOG_NEGLIGIBLE) + LOG_NEGLIGIBLE * np.log1p(excess)
