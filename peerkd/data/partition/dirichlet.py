"""Label skew by Dirichlet draws, apart from quantity skew."""

import numpy as np

from peerkd.data.partition.arrays import FloatArray, IntArray
from peerkd.data.partition.checks import check_concentration, check_labels, check_sizes
from peerkd.data.partition.deal import deal_classes
from peerkd.data.partition.draw import draw_log_dirichlet
from peerkd.data.partition.margins import fit_margins, round_to_margins

LOG_NEGLIGIBLE = -20.0
"""``exp(-20)`` is 2e-9: a smaller proportion is no sample, whatever the size of the peer."""


def partition_dirichlet(
    labels: IntArray, *, sizes: IntArray, concentration: float, rng: np.random.Generator
) -> list[IntArray]:
    """Return a partition whose peers' class proportions are ``q_p ~ Dir(concentration * num_classes * prior)``.

    The family is that of Hsu et al. 2019 (arXiv:1909.06335): one draw per
    *peer*, around ``prior``, the class proportions of the whole set. With
    balanced classes every Dirichlet parameter equals ``concentration``; their
    ``alpha`` is ``concentration * num_classes``. The other family (Yurochkin
    et al. 2019, Li et al. 2022) draws per *class* and so makes peers unequal
    in size as well; here ``sizes`` alone says how large a peer is.

    All samples are dealt, so the drawn proportions are fitted to both the
    sizes and the class totals (see ``fit_margins``). Hsu et al. instead fill
    one peer after the other and leave the last ones what remains. For large
    concentrations the fitting changes little. For very small ones every peer
    wants a single class, and no partition can serve peers that together want
    more of a class than there is: the fitting then gives each of them the
    next classes in the order of its own draw. So the proportions stay skewed
    but are less extreme than the draw, the more so the fewer and the larger
    the peers are: two equal peers share ten classes at five each.

    Args:
        labels: (num_samples,) class of each sample.
        sizes: (num_peers,) each at least 1, summing to ``num_samples``.
        concentration: From 1e-6 to 1e9; small is skewed, large approaches the prior.
        rng: Source of the draws.

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
    """Return the logarithms with those below ``LOG_NEGLIGIBLE`` drawn together, in their order.

    Small concentrations give logarithms of minus thousands, whose
    exponentials are all 0. A constant floor would make such classes equal
    and deal them IID to the peers whose wishes cannot be met.
    """
    excess = np.maximum(LOG_NEGLIGIBLE - log_proportions, 0) / -LOG_NEGLIGIBLE
    return np.maximum(log_proportions, LOG_NEGLIGIBLE) + LOG_NEGLIGIBLE * np.log1p(excess)
