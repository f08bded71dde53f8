"""The acquisition function: the knowledge gradient of Frazier, Powell and Dayanik (2009).

Source: "The knowledge-gradient policy for correlated normal beliefs", INFORMS Journal on Computing 21(4).

An observation of target ``c`` of a pair changes the posterior means of all settings of this pair. The new mean
``mean'(s)`` of setting ``s`` is not known before the observation. It is a normal variable. Let ``mean``, ``cov`` and
``var`` be the means, covariances and variances of the current posterior, ``noise(c)`` the variance of the observation
about its target, and ``Z`` a standard normal variable, the same for all settings::

    mean'(s) = mean(s) + cov(s, c) / sqrt(var(c) + noise(c)) * Z

The knowledge gradient is the expected rise of the best mean, where leaving the student as it is has gain 0::

    KG(c) = E[max(0, max_s mean'(s))] - max(0, max_s mean(s))

It is 0 where no outcome would change the choice.

Shape suffixes: P = pairs, S = settings, H = settings that may become the best, C = candidate observations, N = outcomes
of a candidate.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from peerkd.arrays import FloatArray, IntArray
from peerkd.tuning.pair_posterior import PairPosterior

_NODES, _WEIGHTS = hermegauss(7)
_MOVES = _NODES != 0
_OUTCOMES_N2 = np.stack([_NODES[_MOVES], np.ones(int(_MOVES.sum()))], axis=1).astype(np.float32)
"""The nodes of the quadrature over Z except ``Z = 0``: a row ``(Z, 1)`` for each node.

The new mean of a setting is a line in Z, so the product of a row and ``(slope, intercept)`` is the mean at this node.
"""

_WEIGHTS_N = _WEIGHTS[_MOVES] / _WEIGHTS.sum()
_WEIGHT_OF_NONE: Final = 1 - float(_WEIGHTS_N.sum())
"""The weight of the quadrature node ``Z = 0``, at which no mean changes."""

_NUM_SDS: Final = 3.0
"""A setting is ignored if its mean plus this many standard deviations does not exceed the best mean."""


class PairBelief:
    """The posterior over the gains of one pair: now, and once its pending suggestions have been observed."""

    def __init__(self, posterior: PairPosterior) -> None:
        self._now = self._later = posterior
        self._pending: list[tuple[int, float]] = []
        """The pending suggestions that ``_later`` does not include yet, each as the index of its target and its noise
        variance."""

    @property
    def now(self) -> PairPosterior:
        """The posterior given all observations so far."""
        return self._now

    @property
    def with_pending(self) -> PairPosterior:
        """The posterior with the covariance that it will have when all pending suggestions have been observed."""
        for place, noise_variance in self._pending:
            self._later = self._later.given_pending(place, noise_variance=noise_variance)
        self._pending.clear()
        return self._later

    def observe(self, place: int, points: float, *, noise_variance: float) -> None:
        """Update the posterior with an observation, and forget all pending suggestions.

        Args:
            place: The index of the observed target.
            points: The observed value, in compressed points.
            noise_variance: The variance of the observation about the target.
        """
        self._now = self._later = self._now.given(place, points, noise_variance=noise_variance)
        self._pending.clear()

    def add_pending(self, place: int, *, noise_variance: float) -> None:
        """Add a suggestion that has not been observed yet, given the index of its target."""
        # Most are answered before the pair is scored again, so the posterior is only updated when it is needed.
        self._pending.append((place, noise_variance))


def knowledge_gradients(
    posteriors: Sequence[PairPosterior], places_C: IntArray | slice, *, noise_variance_C: FloatArray, num_choices: int
) -> FloatArray:
    """Return the knowledge gradient of each candidate observation of each pair, of shape (P, C).

    The expectation over Z is computed by Gauss-Hermite quadrature with seven nodes.

    Args:
        posteriors: The posterior of each pair. At least one is required. Memory grows with their number, so there
            should be few.
        places_C: The index of the target that each candidate observes.
        noise_variance_C: The variance of each observation about its target.
        num_choices: The number of settings that can be chosen. They are the first targets.
    """
    # For each candidate c, mean'(s) is a line in Z: slope cov(s, c) / sqrt(var(c) + noise(c)), intercept mean(s).
    mean_PS = np.array([each.mean_S[:num_choices] for each in posteriors])
    variance_PS = np.maximum([each.variance_S for each in posteriors], 0)
    best_P1 = np.maximum(mean_PS.max(axis=1, keepdims=True), 0)
    is_hopeful_PS = mean_PS + _NUM_SDS * np.sqrt(variance_PS[:, :num_choices]) > best_P1
    sd_PC = np.sqrt(np.maximum(variance_PS[:, places_C] + noise_variance_C, 1e-12))
    # Single precision takes half the time, and an error of a millionth of a point does not matter.
    rough_mean_PS = mean_PS.astype(np.float32)
    best_PNC = np.empty((len(mean_PS), len(_OUTCOMES_N2), len(noise_variance_C)), dtype=np.float32)
    for place, each in enumerate(posteriors):
        hopeful_H = np.flatnonzero(is_hopeful_PS[place])
        lines_H2C = np.empty((len(hopeful_H), 2, len(noise_variance_C)), dtype=np.float32)
        lines_H2C[:, 0] = each.covariance(hopeful_H)[:, places_C] / sd_PC[place]
        lines_H2C[:, 1] = rough_mean_PS[place, hopeful_H, None]
        # The maximum is over the outermost axis, so that numpy works on whole rows. It starts at 0, that of leaving.
        (_OUTCOMES_N2 @ lines_H2C).max(axis=0, initial=0, out=best_PNC[place])
    # KG = sum_n w_n best_n + w_0 best - best: at the node Z = 0 the best mean is the present one.
    raised_PC: FloatArray = _WEIGHTS_N @ best_PNC + (_WEIGHT_OF_NONE - 1) * best_P1
    return np.maximum(raised_PC, 0)
