"""What is believed of every pair's gains, given what was measured anywhere: a Gaussian process in two layers.

The gain of a pair ``p`` under a setting ``x`` is ``mean(x) + g(p, x) + h_p(x) + e``. ``g`` is smooth across pairs: a
finite sum of products of functions of pairs and of settings, whose weights are learned from all pairs together, those
of earlier experiments too. ``h_p`` is the pair's own, so that what is measured of a pair bears on the rest of the pair
exactly. That costs as much as there are pairs, where one kernel over all measurements would cost their cube.

Units are compressed points (``settings_prior``).

Shape suffixes: S = settings, A = functions of pairs, R = functions of settings, U = functions that all pairs share,
V = R + U, W = A * R + U weights, N = measurements of one pair, M = of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.settings_prior import ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR, covariance, set_means
from peerkd.tuning.space import SettingOnSet

_OF_ALL_PAIRS_SD: Final = 3.0
_ACROSS_PAIRS_SD: Final = 2.8
_WITHIN_PAIR_SD: Final = 2.8
_OF_SETTING_SD: Final = 0.3
_OF_TRIAL_SD: Final = 0.75
"""What a trial has by luck and keeps: the network that came out is better, on whatever samples."""

_NOISE_SD: Final = 0.7
"""Of finite validation samples."""

_NUM_FUNCTIONS: Final = 10
_UPDATES_BETWEEN_SOLVES: Final = 10
"""Revised again and again, a covariance gathers errors."""

_SCALE_PRIOR_MEASUREMENTS: Final = 100.0
_OWN_SHARE_ACROSS: Final = 0.1
_OWN_SHARE_OF_ALL: Final = 0.5
"""Of the variance, what an experiment does not share with earlier ones."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Observed:
    """What was measured of one pair."""

    settings_N: IntArray
    points_N: FloatArray
    """In compressed points, of a whole trial or as far as can be told from a part."""

    extra_sd_N: FloatArray
    """How far each may be from that of its whole trial."""


class Prior:
    """What settings have to do with each other, the same for every pair."""

    def __init__(self, settings: Sequence[SettingOnSet]) -> None:
        self.mean_S = set_means(settings)
        across_SS = covariance(settings, ACROSS_PAIRS) * _ACROSS_PAIRS_SD**2
        self.across_SR = _low_rank(across_SS, rank=_NUM_FUNCTIONS)
        shared_SS = covariance(settings, OF_ALL_PAIRS) * _OF_ALL_PAIRS_SD**2 + _OF_SETTING_SD**2 * np.eye(len(settings))
        self.shared_SU = _low_rank(shared_SS, rank=len(settings))
        self.design_SV = np.concatenate([self.across_SR, self.shared_SU], axis=1)
        self.across_SS = self.across_SR @ self.across_SR.T
        own_SS = covariance(settings, WITHIN_PAIR) * _WITHIN_PAIR_SD**2
        # What few functions cannot say of other pairs they must not deny of this one.
        self.own_SS = own_SS + (across_SS - self.across_SS) + _OF_TRIAL_SD**2 * np.eye(len(settings))


class Posterior:
    """Beliefs after measurements. They are taken in pair by pair; ``update`` makes them bear on all pairs."""

    def __init__(self, prior: Prior, basis_QA: FloatArray) -> None:
        """Begin without measurements.

        Args:
            prior: Of the settings.
            basis_QA: The functions of pairs at each pair, no row longer than 1.
        """
        self._prior, self._basis_QA = prior, basis_QA
        self._num_across = basis_QA.shape[1] * prior.across_SR.shape[1]
        num_weights = self._num_across + prior.shared_SU.shape[1]
        self._precision_WW = np.eye(num_weights)
        self._evidence_W = np.zeros(num_weights)
        self._squares, self._num_measurements = 0.0, 0
        self._observed: dict[int, Observed] = {}
        self._num_updates = 0
        self._solve()

    def learn(self, basis_A: FloatArray, observed: Observed) -> None:
        """Learn from a pair of an earlier experiment; call ``begin`` when all are told."""
        self._count(basis_A, observed, sign=1)

    def begin(self) -> None:
        """Take what was learned of earlier experiments as what is believed of this one, with a grain of salt."""
        self._solve()
        own_W = np.full(len(self._mean_W), _OWN_SHARE_OF_ALL)
        own_W[: self._num_across] = _OWN_SHARE_ACROSS
        self._precision_WW = np.linalg.inv(self._covariance_WW + np.diag(own_W))
        self._evidence_W = self._precision_WW @ self._mean_W
        self._squares, self._num_measurements = float(self._evidence_W @ self._mean_W), 0
        self._solve()

    def update(self, changed: Mapping[int, Observed]) -> None:
        """Take in all that is known of some pairs, in place of what was known of them before."""
        removed, added = [], []
        for pair, observed in changed.items():
            if pair in self._observed:
                removed.append(self._count(self._basis_QA[pair], self._observed[pair], sign=-1))
            added.append(self._count(self._basis_QA[pair], observed, sign=1))
            self._observed[pair] = observed
        num_rows = sum(map(len, removed)) + sum(map(len, added))
        self._num_updates += 1
        if self._num_updates % _UPDATES_BETWEEN_SOLVES == 0 or num_rows > len(self._evidence_W) / 4:
            self._solve()
            return
        # Additions first, so that nothing is ever less certain than by the prior.
        for sign, rows in ((1, added), (-1, removed)):
            if rows:
                self._revise(np.concatenate(rows), sign=sign)
        self._mean_W = self._covariance_WW @ self._evidence_W

    @property
    def scale(self) -> float:
        """By how much gains vary more, or less, than was believed: a factor of all standard deviations."""
        misfit = self._squares - self._evidence_W @ self._mean_W
        squared = (_SCALE_PRIOR_MEASUREMENTS + misfit) / (_SCALE_PRIOR_MEASUREMENTS + self._num_measurements)
        return float(np.sqrt(max(squared, 1e-6)))

    def of_pair(self, pair: int) -> tuple[FloatArray, FloatArray]:
        """Return mean (S,) and covariance (S, S) of the gains of whole trials of a pair."""
        basis_A = self._basis_QA[pair]
        weights_V, covariance_VV = self._of_settings(basis_A)
        own_SS, design_SV = self._own(basis_A), self._prior.design_SV
        mean_S = self._prior.mean_S + design_SV @ weights_V
        observed = self._observed.get(pair)
        if observed is not None:
            places_N = observed.settings_N
            from_own_SN = cho_solve(self._factor(own_SS, observed), own_SS[places_N]).T
            mean_S = mean_S + from_own_SN @ (observed.points_N - mean_S[places_N])
            design_SV = design_SV - from_own_SN @ design_SV[places_N]
            own_SS = own_SS - from_own_SN @ own_SS[places_N]
        return mean_S, (own_SS + design_SV @ covariance_VV @ design_SV.T) * self.scale**2

    @property
    def noise_variance(self) -> float:
        """Of a whole trial's validation."""
        return (_NOISE_SD * self.scale) ** 2

    def _own(self, basis_A: FloatArray) -> FloatArray:
        unexplained = max(1 - float(basis_A @ basis_A), 0.0)
        own_SS: FloatArray = self._prior.own_SS + unexplained * self._prior.across_SS
        return own_SS

    def _of_settings(self, basis_A: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean (V,) and covariance (V, V) of the weights of a pair's functions of settings."""
        num_across = self._num_across
        mean_AR = self._mean_W[:num_across].reshape(len(basis_A), -1)
        rows_RW = np.tensordot(basis_A, self._covariance_WW[:num_across].reshape(*mean_AR.shape, -1), axes=1)
        rows_VW = np.concatenate([rows_RW, self._covariance_WW[num_across:]])
        across_VAR = rows_VW[:, :num_across].reshape(len(rows_VW), *mean_AR.shape)
        covariance_VV = np.concatenate(
            [np.tensordot(across_VAR, basis_A, axes=(1, 0)), rows_VW[:, num_across:]], axis=1
        )
        return np.concatenate([basis_A @ mean_AR, self._mean_W[num_across:]]), covariance_VV

    def _factor(self, own_SS: FloatArray, observed: Observed) -> tuple[FloatArray, bool]:
        places_N = observed.settings_N
        noise_N = _NOISE_SD**2 + observed.extra_sd_N**2
        factor: tuple[FloatArray, bool] = cho_factor(own_SS[np.ix_(places_N, places_N)] + np.diag(noise_N), lower=True)
        return factor

    def _count(self, basis_A: FloatArray, observed: Observed, *, sign: int) -> FloatArray:
        """Add measurements of a pair, or take them away; return what they say of the weights, as rows of noise 1."""
        factor, _ = self._factor(self._own(basis_A), observed)
        across_NR = self._prior.across_SR[observed.settings_N]
        across_NW = np.einsum("a,nr->nar", basis_A, across_NR).reshape(len(across_NR), -1)
        design_NW = np.concatenate([across_NW, self._prior.shared_SU[observed.settings_N]], axis=1)
        residual_N = observed.points_N - self._prior.mean_S[observed.settings_N]
        white_NW: FloatArray = solve_triangular(factor, design_NW, lower=True)
        white_N = solve_triangular(factor, residual_N, lower=True)
        self._precision_WW += sign * (white_NW.T @ white_NW)
        self._evidence_W += sign * (white_NW.T @ white_N)
        self._squares += sign * float(white_N @ white_N)
        self._num_measurements += sign * len(white_N)
        return white_NW

    def _revise(self, rows_MW: FloatArray, *, sign: int) -> None:
        """Bring the covariance up to date by the formula of Woodbury, which is cheaper than solving for few rows."""
        moved_WM = self._covariance_WW @ rows_MW.T
        inner_MM = sign * np.eye(len(rows_MW)) + rows_MW @ moved_WM
        self._covariance_WW -= moved_WM @ np.linalg.solve(inner_MM, moved_WM.T)

    def _solve(self) -> None:
        self._covariance_WW = np.linalg.inv(self._precision_WW)
        self._mean_W = self._covariance_WW @ self._evidence_W


def _low_rank(covariance_SS: FloatArray, *, rank: int) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance_SS)
    kept = slice(-min(rank, len(values)), None)
    factor_SR: FloatArray = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    return factor_SR
