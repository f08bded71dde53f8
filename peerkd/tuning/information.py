"""What a measurement is expected to be worth: the knowledge gradient of Frazier, Powell and Dayanik (2009).

Measuring moves the beliefs about all settings of the pair. It is worth as much as it is expected to raise the best of
them: nothing, where no outcome would change the choice.

Shape suffixes: S = settings, C = measurements that could be made.
"""

from typing import Final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from peerkd.results.arrays import FloatArray

_NODES, _WEIGHTS = hermegauss(7)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_NUM_SDS: Final = 3.0
"""A setting that is further below the best than so many standard deviations is not going to become it."""


class Belief:
    """About the gains of one pair: from what was told, and how sure it will be once all that was asked for is told."""

    def __init__(self, mean_S: FloatArray, covariance_SS: FloatArray) -> None:
        self.mean_S, self.covariance_SS = mean_S, covariance_SS
        self.supposed_SS = covariance_SS

    def tell(self, setting: int, points: float, *, noise_variance: float) -> None:
        """Take in a measurement, and forget what was supposed."""
        column_S = self.covariance_SS[:, setting]
        weight_S = column_S / (column_S[setting] + noise_variance)
        self.mean_S = self.mean_S + weight_S * (points - self.mean_S[setting])
        self.covariance_SS = after_measuring(self.covariance_SS, setting=setting, noise_variance=noise_variance)
        self.supposed_SS = self.covariance_SS

    def suppose(self, setting: int, *, noise_variance: float) -> None:
        """Count on a measurement that is under way, whatever will come of it."""
        self.supposed_SS = after_measuring(self.supposed_SS, setting=setting, noise_variance=noise_variance)


def knowledge_gradients(
    mean_S: FloatArray, variance_S: FloatArray, covariance_SC: FloatArray, *, variance_C: FloatArray
) -> FloatArray:
    """Return by how much each measurement is expected to raise the best mean of a pair, or 0 for leaving it: (C,).

    The expectation over outcomes is a Gauss-Hermite sum.

    Args:
        mean_S: Believed gains.
        variance_S: Of them.
        covariance_SC: Of gains with what would be measured.
        variance_C: Of the outcome of each measurement, with its noise.
    """
    sd_S = np.sqrt(np.maximum(variance_S, 0))
    best = max(float(mean_S.max()), 0.0)
    hopeful = np.flatnonzero(mean_S + _NUM_SDS * sd_S > best)
    if not hopeful.size:
        return np.zeros(covariance_SC.shape[1])
    # Single precision: it takes half the time, and a millionth of a point is worth nothing.
    moves_SC = (covariance_SC[hopeful] / np.sqrt(np.maximum(variance_C, 1e-12))).astype(np.float32)
    hoped_S1 = mean_S[hopeful, None].astype(np.float32)
    raised_C: FloatArray = np.zeros(len(variance_C))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        raised_C += weight * np.maximum((hoped_S1 + np.float32(node) * moves_SC).max(0), 0)
    return np.maximum(raised_C - best, 0)


def after_measuring(covariance_SS: FloatArray, *, setting: int, noise_variance: float) -> FloatArray:
    """Return the covariance of a pair's gains once a measurement is made, whatever comes of it."""
    column_S = covariance_SS[:, setting]
    total = max(float(column_S[setting]) + noise_variance, 1e-12)
    return covariance_SS - np.multiply.outer(column_S, column_S) / total
