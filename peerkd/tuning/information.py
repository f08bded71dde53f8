"""What a measurement is expected to be worth: the knowledge gradient of Frazier, Powell and Dayanik (2009).

Measuring moves the beliefs about all settings of the pair. It is worth as much as it is expected to raise the best of
them: nothing, where no outcome would change the choice.

Shape suffixes: S = settings, H = those that may become the best, C = measurements that could be made, N = outcomes of
each.
"""

from typing import Final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.marginals import Marginals

_NODES, _WEIGHTS = hermegauss(7)
_MOVES = _NODES != 0
_NODES_N11 = _NODES[_MOVES, None, None].astype(np.float32)
_WEIGHTS_N = _WEIGHTS[_MOVES] / _WEIGHTS.sum()
_WEIGHT_OF_NONE: Final = 1 - float(_WEIGHTS_N.sum())
"""Of the outcome that was expected, which moves nothing."""

_NUM_SDS: Final = 3.0
"""A setting that is further below the best than so many standard deviations is not going to become it."""


class Belief:
    """About the gains of one pair: from what was told, and how sure it will be once all that was asked for is told."""

    def __init__(self, marginals: Marginals) -> None:
        self.told = self.supposed = marginals

    def tell(self, place: int, points: float, *, noise_variance: float) -> None:
        """Take in a measurement, and forget what was supposed."""
        self.told = self.supposed = self.told.told(place, points, noise_variance=noise_variance)

    def suppose(self, place: int, *, noise_variance: float) -> None:
        """Count on a measurement that is under way, whatever will come of it."""
        self.supposed = self.supposed.supposed(place, noise_variance=noise_variance)


def knowledge_gradients(
    marginals: Marginals, places_C: IntArray, *, noise_variance_C: FloatArray, num_choices: int
) -> FloatArray:
    """Return by how much each measurement is expected to raise the best mean of a pair, or 0 for leaving it: (C,).

    The expectation over outcomes is a Gauss-Hermite sum.

    Args:
        marginals: What is believed of the pair.
        places_C: What each measurement would measure.
        noise_variance_C: Of each outcome, beyond the variance of what it measures.
        num_choices: So many, the first ones, can be chosen.
    """
    mean_S, variance_S = marginals.mean_S[:num_choices], marginals.variance_S[:num_choices]
    best = max(float(mean_S.max()), 0.0)
    hopeful_H = np.flatnonzero(mean_S + _NUM_SDS * np.sqrt(np.maximum(variance_S, 0)) > best)
    if not hopeful_H.size:
        return np.zeros(len(places_C))
    sd_C = np.sqrt(np.maximum(marginals.variance_S[places_C] + noise_variance_C, 1e-12))
    # Taken, not indexed, so that what the maximum below runs over is not scattered.
    covariance_HC = marginals.covariance(hopeful_H).take(places_C, axis=1)
    # Single precision: it takes half the time, and a millionth of a point is worth nothing.
    moves_HC, hoped_H1 = (covariance_HC / sd_C).astype(np.float32), mean_S[hopeful_H, None].astype(np.float32)
    best_NC = (_NODES_N11 * moves_HC + hoped_H1).max(axis=1)
    raised_C: FloatArray = _WEIGHTS_N @ np.maximum(best_NC, 0) + _WEIGHT_OF_NONE * best
    return np.maximum(raised_C - best, 0)
