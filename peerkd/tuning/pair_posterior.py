"""The posterior over the gains of one pair, whose covariances are computed only when they are requested.

Shape suffixes: S = targets of the pair, H = some of them, K = products whose sum is a covariance.
"""

from dataclasses import dataclass

import numpy as np

from peerkd.arrays import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairPosterior:
    """A normal distribution over the gains of one pair.

    The covariance is ``own_factor * own_SS + left_KS.T @ right_KS``.

    K is small, so a few rows of the covariance are cheap to compute. An observation adds one row to ``left_KS`` and one
    row to ``right_KS``.
    """

    mean_S: FloatArray
    variance_S: FloatArray
    """The diagonal of the covariance."""

    own_SS: FloatArray
    """The covariance of the part of the gains that is specific to one pair. All pairs share this array."""

    own_factor: float
    left_KS: FloatArray
    right_KS: FloatArray

    def covariance(self, places: IntArray | slice | int) -> FloatArray:
        """Return rows of the covariance, of shape (H, S), or (S,) for a single index."""
        covariance: FloatArray = self.own_SS[places] * self.own_factor
        covariance += self.left_KS[:, places].T @ self.right_KS
        return covariance

    def given(self, place: int, points: float, *, noise_variance: float) -> "PairPosterior":
        """Return the posterior given one more observation.

        Let ``c`` be the covariance between all targets and the observed target, ``v`` the variance of the observed
        target, and ``n`` the variance of the noise. Then::

            mean' = mean + c / (v + n) * (points - mean[place])
            covariance' = covariance - c c^T / (v + n)

        Args:
            place: The index of the observed target.
            points: The observed value, in compressed points.
            noise_variance: The variance ``n`` of the noise.
        """
        column_S, weight_S = self._column(place, noise_variance)
        return self._without(column_S, weight_S, mean_S=self.mean_S + weight_S * (points - self.mean_S[place]))

    def given_pending(self, place: int, *, noise_variance: float) -> "PairPosterior":
        """Return the posterior with the covariance that it will have after a pending observation.

        By the formulas of ``given``, the later covariance does not depend on the value that will be observed. The mean
        stays the same, because it is the expected value of the later mean.
        """
        return self._without(*self._column(place, noise_variance), mean_S=self.mean_S)

    def _column(self, place: int, noise_variance: float) -> tuple[FloatArray, FloatArray]:
        """Return the covariance ``c`` with the target at ``place``, and ``c / (v + n)``, each of shape (S,).

        The docstring of ``given`` defines the symbols.
        """
        column_S = self.covariance(place)
        return column_S, column_S / max(float(column_S[place]) + noise_variance, 1e-12)

    def _without(self, column_S: FloatArray, weight_S: FloatArray, *, mean_S: FloatArray) -> "PairPosterior":
        return PairPosterior(
            mean_S=mean_S,
            variance_S=self.variance_S - column_S * weight_S,
            own_SS=self.own_SS,
            own_factor=self.own_factor,
            left_KS=np.concatenate([self.left_KS, -column_S[None]]),
            right_KS=np.concatenate([self.right_KS, weight_S[None]]),
        )
