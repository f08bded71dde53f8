"""What a measurement is expected to be worth: the knowledge gradient of Frazier, Powell and Dayanik (2009).

Measuring moves the beliefs about all settings of the pair. It is worth as much as it is expected to raise the best of
them: nothing, where no outcome would change the choice.

Shape suffixes: P = pairs, S = settings, H = those that may become the best, C = measurements that could be made,
N = outcomes of each.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.marginals import Marginals

_NODES, _WEIGHTS = hermegauss(7)
_MOVES = _NODES != 0
_OUTCOMES_N2 = np.stack([_NODES[_MOVES], np.ones(int(_MOVES.sum()))], axis=1).astype(np.float32)
"""What a line's slope and its height are multiplied by."""

_WEIGHTS_N = _WEIGHTS[_MOVES] / _WEIGHTS.sum()
_WEIGHT_OF_NONE: Final = 1 - float(_WEIGHTS_N.sum())
"""Of the outcome that was expected, which moves nothing."""

_NUM_SDS: Final = 3.0
"""A setting that is further below the best than so many standard deviations is not going to become it."""


class Belief:
    """About the gains of one pair: from what was told, and how sure it will be once all that was asked for is told."""

    def __init__(self, marginals: Marginals) -> None:
        self._told = self._supposed = marginals
        self._waiting: list[tuple[int, float]] = []
        """Places of what was asked for and is not counted on yet, and the variance of their noise."""

    @property
    def told(self) -> Marginals:
        """From what was told."""
        return self._told

    @property
    def supposed(self) -> Marginals:
        """As sure as all that was asked for will make it."""
        for place, noise_variance in self._waiting:
            self._supposed = self._supposed.supposed(place, noise_variance=noise_variance)
        self._waiting.clear()
        return self._supposed

    def tell(self, place: int, points: float, *, noise_variance: float) -> None:
        """Take in a measurement, and forget what was supposed."""
        self._told = self._supposed = self._told.told(place, points, noise_variance=noise_variance)
        self._waiting.clear()

    def suppose(self, place: int, *, noise_variance: float) -> None:
        """Count on a measurement that is under way, whatever will come of it."""
        # Most are told before the pair is looked at again.
        self._waiting.append((place, noise_variance))


def knowledge_gradients(
    marginals: Sequence[Marginals], places_C: IntArray | slice, *, noise_variance_C: FloatArray, num_choices: int
) -> FloatArray:
    """Return by how much each measurement is expected to raise the best mean of a pair, or 0 for leaving it: (P, C).

    The expectation over outcomes is a Gauss-Hermite sum.

    Args:
        marginals: What is believed of each pair: of one at least, and of few, so that memory is not an issue.
        places_C: What each measurement would measure.
        noise_variance_C: Of each outcome, beyond the variance of what it measures.
        num_choices: So many, the first ones, can be chosen.
    """
    mean_PS = np.array([each.mean_S[:num_choices] for each in marginals])
    variance_PS = np.maximum([each.variance_S for each in marginals], 0)
    best_P1 = np.maximum(mean_PS.max(axis=1, keepdims=True), 0)
    is_hopeful_PS = mean_PS + _NUM_SDS * np.sqrt(variance_PS[:, :num_choices]) > best_P1
    sd_PC = np.sqrt(np.maximum(variance_PS[:, places_C] + noise_variance_C, 1e-12))
    # Single precision: it takes half the time, and a millionth of a point is worth nothing.
    rough_mean_PS = mean_PS.astype(np.float32)
    best_PNC = np.empty((len(mean_PS), len(_OUTCOMES_N2), len(noise_variance_C)), dtype=np.float32)
    for place, each in enumerate(marginals):
        hopeful_H = np.flatnonzero(is_hopeful_PS[place])
        lines_H2C = np.empty((len(hopeful_H), 2, len(noise_variance_C)), dtype=np.float32)
        lines_H2C[:, 0] = each.covariance(hopeful_H)[:, places_C] / sd_PC[place]
        lines_H2C[:, 1] = rough_mean_PS[place, hopeful_H, None]
        # The maximum is over what is outermost, so that it runs over whole rows. To leave a pair gains 0.
        (_OUTCOMES_N2 @ lines_H2C).max(axis=0, initial=0, out=best_PNC[place])
    raised_PC: FloatArray = _WEIGHTS_N @ best_PNC + (_WEIGHT_OF_NONE - 1) * best_P1
    return np.maximum(raised_PC, 0)
