"""What is believed of the gains of one pair, of which only what is looked at is worked out.

Shape suffixes: S = what can be measured of the pair, H = some of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Marginals:
    """Mean and variance of all gains, and the covariances that are asked for."""

    mean_S: FloatArray
    variance_S: FloatArray
    covariance: Callable[[IntArray | slice], FloatArray]
    """Of the gains at some places with all: (H, S)."""

    def told(self, place: int, points: float, *, noise_variance: float) -> "Marginals":
        """Return what is believed when a measurement is known."""
        column_S, weight_S = self._column(place, noise_variance)
        return self._without(column_S, weight_S, mean_S=self.mean_S + weight_S * (points - self.mean_S[place]))

    def supposed(self, place: int, *, noise_variance: float) -> "Marginals":
        """Return how sure all will be when a measurement is known, whatever will come of it."""
        return self._without(*self._column(place, noise_variance), mean_S=self.mean_S)

    def _column(self, place: int, noise_variance: float) -> tuple[FloatArray, FloatArray]:
        """Return the covariance of all gains with one, and by how much a measurement of it moves them."""
        column_S = self.covariance(slice(place, place + 1))[0]
        return column_S, column_S / max(float(column_S[place]) + noise_variance, 1e-12)

    def _without(self, column_S: FloatArray, weight_S: FloatArray, *, mean_S: FloatArray) -> "Marginals":
        def covariance(places: IntArray | slice) -> FloatArray:
            return self.covariance(places) - np.multiply.outer(column_S[places], weight_S)

        return Marginals(mean_S=mean_S, variance_S=self.variance_S - column_S * weight_S, covariance=covariance)
