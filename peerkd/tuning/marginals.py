"""What is believed of the gains of one pair, of which only what is looked at is worked out.

Shape suffixes: S = what can be measured of the pair, H = some of it, K = products that a covariance is the sum of.
"""

from dataclasses import dataclass

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Marginals:
    """Mean and variance of all gains, and what their covariance is made of: ``own_factor * own_SS + left.T @ right``.

    There are few products, so that the covariance of some gains costs little, and what is learned adds one.
    """

    mean_S: FloatArray
    variance_S: FloatArray
    own_SS: FloatArray
    """Of all pairs the same array."""

    own_factor: float
    left_KS: FloatArray
    right_KS: FloatArray

    def covariance(self, places: IntArray | slice | int) -> FloatArray:
        """Return the covariance of the gains at some places with all: (H, S), or (S,) of one place."""
        covariance: FloatArray = self.own_SS[places] * self.own_factor
        covariance += self.left_KS[:, places].T @ self.right_KS
        return covariance

    def told(self, place: int, points: float, *, noise_variance: float) -> "Marginals":
        """Return what is believed when a measurement is known."""
        column_S, weight_S = self._column(place, noise_variance)
        return self._without(column_S, weight_S, mean_S=self.mean_S + weight_S * (points - self.mean_S[place]))

    def supposed(self, place: int, *, noise_variance: float) -> "Marginals":
        """Return how sure all will be when a measurement is known, whatever will come of it."""
        return self._without(*self._column(place, noise_variance), mean_S=self.mean_S)

    def _column(self, place: int, noise_variance: float) -> tuple[FloatArray, FloatArray]:
        """Return the covariance of all gains with one, and by how much a measurement of it moves them."""
        column_S = self.covariance(place)
        return column_S, column_S / max(float(column_S[place]) + noise_variance, 1e-12)

    def _without(self, column_S: FloatArray, weight_S: FloatArray, *, mean_S: FloatArray) -> "Marginals":
        return Marginals(
            mean_S=mean_S,
            variance_S=self.variance_S - column_S * weight_S,
            own_SS=self.own_SS,
            own_factor=self.own_factor,
            left_KS=np.concatenate([self.left_KS, -column_S[None]]),
            right_KS=np.concatenate([self.right_KS, weight_S[None]]),
        )
