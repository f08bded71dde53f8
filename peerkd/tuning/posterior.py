"""What is believed of every pair's gains, given what was measured anywhere: a Gaussian process in two layers.

The gain of a pair ``p`` under a setting ``x`` is ``mean(x) + g(p, x) + h_p(x) + e``. ``g`` is smooth across pairs: a
finite sum of products of functions of pairs and of settings, whose weights are learned from all pairs together, those
of earlier experiments too. ``h_p`` is the pair's own, so that what is measured of a pair bears on the rest of the pair
exactly. That costs as much as there are pairs, where one kernel over all measurements would cost their cube.

Where an ``Experience`` says what to expect of each pair, ``mean`` is a pair's own, and by how much it is to be trusted
is a weight for each transfer set, learned as all others are. ``g`` and ``h_p`` are then larger for some pairs than for
others, in the proportion that experience expects.

Units are compressed points (``settings_prior``).

Shape suffixes: Q = pairs, S = what can be measured: settings, or settings after some of their epochs, A = functions of
pairs, R = functions of settings, U = functions that all pairs share, K = expectations to be trusted more or less,
V = R + U + K, W = A * R + U + K weights, N = measurements of one pair, M = of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.marginals import Marginals
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Foreknown:
    """What is known of a pair before anything of it is measured."""

    basis_A: FloatArray
    """The functions of pairs; no longer than 1."""

    expected_S: FloatArray

    spread: float = 1.0
    """How far the pair's gains may be from what is expected, in proportion to others."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prior:
    """What settings have to do with each other, the same for every pair."""

    mean_S: FloatArray
    across_SR: FloatArray
    """Functions of settings that are weighed by functions of pairs."""

    shared_SU: FloatArray
    """Functions that have the same weight for all pairs."""

    trusted_SK: FloatArray
    """How uncertain it is by which factor to take what is expected: its standard deviation, each where it counts."""

    own_SS: FloatArray
    """Covariance of what is a pair's own."""

    noise_sd: float
    """Of a measurement about what is worth having."""

    across_SS: FloatArray
    """What ``across_SR`` amounts to for a pair like no other."""


def settings_prior(settings: Sequence[SettingOnSet]) -> Prior:
    """Return what is believed where nothing is known of experiments like this one."""
    wanted_SS = covariance(settings, ACROSS_PAIRS) * _ACROSS_PAIRS_SD**2
    across_SR = low_rank(wanted_SS, rank=_NUM_FUNCTIONS)
    across_SS = across_SR @ across_SR.T
    shared_SS = covariance(settings, OF_ALL_PAIRS) * _OF_ALL_PAIRS_SD**2 + _OF_SETTING_SD**2 * np.eye(len(settings))
    own_SS = covariance(settings, WITHIN_PAIR) * _WITHIN_PAIR_SD**2
    return Prior(
        mean_S=set_means(settings),
        across_SR=across_SR,
        shared_SU=low_rank(shared_SS, rank=len(settings)),
        trusted_SK=np.zeros((len(settings), 0)),
        # What few functions cannot say of other pairs they must not deny of this one.
        own_SS=own_SS + (wanted_SS - across_SS) + _OF_TRIAL_SD**2 * np.eye(len(settings)),
        noise_sd=_NOISE_SD,
        across_SS=across_SS,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Measured:
    """What was measured of a pair, and what follows for its own part whatever other pairs say."""

    observed: Observed
    own_NS: FloatArray
    """The own part's covariance, of what was measured with all."""

    weights_NS: FloatArray
    """By how much each measurement moves each belief."""


class Posterior:
    """Beliefs after measurements. They are taken in pair by pair; ``update`` makes them bear on all pairs."""

    def __init__(
        self,
        prior: Prior,
        basis_QA: FloatArray,
        expected_QS: FloatArray | None = None,
        spread_Q: FloatArray | None = None,
    ) -> None:
        """Begin without measurements.

        Args:
            prior: Of the settings.
            basis_QA: The functions of pairs at each pair, no row longer than 1.
            expected_QS: What experience expects of each pair. None: the prior's mean.
            spread_Q: See ``Foreknown``. None: 1 for all.
        """
        self._prior, self._basis_QA, self._expected_QS = prior, basis_QA, expected_QS
        self._spread_Q = np.ones(len(basis_QA)) if spread_Q is None else spread_Q
        self._num_across = basis_QA.shape[1] * prior.across_SR.shape[1]
        num_weights = self._num_across + prior.shared_SU.shape[1] + prior.trusted_SK.shape[1]
        self._precision_WW = np.eye(num_weights)
        self._evidence_W = np.zeros(num_weights)
        self._squares, self._num_measurements = 0.0, 0
        self._measured: dict[int, _Measured] = {}
        self._num_updates = 0
        self._solve()

    def learn(self, known: Foreknown, observed: Observed) -> None:
        """Learn from a pair of an earlier experiment; call ``begin`` when all are told."""
        self._count(known, observed, sign=1)

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
            known = self._known(pair)
            if pair in self._measured:
                removed.append(self._count(known, self._measured[pair].observed, sign=-1))
            added.append(self._count(known, observed, sign=1))
            own_NS = self._own(known, observed.settings_N)
            weights_NS = np.linalg.solve(_with_noise(own_NS, observed, self._prior.noise_sd), own_NS)
            self._measured[pair] = _Measured(
                observed=observed, own_NS=own_NS, weights_NS=np.asarray(weights_NS, dtype=np.float64)
            )
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

    def marginals(self, pair: int) -> Marginals:
        """Return what is believed of a pair's gains."""
        known = self._known(pair)
        weights_V, covariance_VV = self._of_settings(known.basis_A)
        mean_S, design_SV, own_S = known.expected_S, self._design(known), self._own_variance(known)
        measured = self._measured.get(pair)
        if measured is not None:
            places_N, weights_NS = measured.observed.settings_N, measured.weights_NS
            mean_S = mean_S + (measured.observed.points_N - mean_S[places_N]) @ weights_NS
            design_SV = design_SV - weights_NS.T @ design_SV[places_N]
            own_S = own_S - (measured.own_NS * weights_NS).sum(axis=0)
        of_weights_SV, squared_scale = design_SV @ covariance_VV, self.scale**2

        def covariance(rows: IntArray | slice) -> FloatArray:
            own = self._own(known, rows)
            if measured is not None:
                own -= measured.own_NS[:, rows].T @ measured.weights_NS
            return (own + of_weights_SV[rows] @ design_SV.T) * squared_scale

        return Marginals(
            mean_S=mean_S + design_SV @ weights_V,
            variance_S=(own_S + (of_weights_SV * design_SV).sum(axis=1)) * squared_scale,
            covariance=covariance,
        )

    def means(self) -> FloatArray:
        """Return the mean (Q, S) of all pairs' gains, at less cost than pair by pair."""
        prior, num_across = self._prior, self._num_across
        weights_QR = self._basis_QA @ self._mean_W[:num_across].reshape(self._basis_QA.shape[1], -1)
        shared_U, trust_K = np.split(self._mean_W[num_across:], [prior.shared_SU.shape[1]])
        expected_QS = self._expected_QS
        if expected_QS is None:
            expected_QS = np.tile(prior.mean_S, (len(weights_QR), 1))
        mean_QS: FloatArray = (weights_QR @ prior.across_SR.T) * self._spread_Q[:, None] + prior.shared_SU @ shared_U
        mean_QS += expected_QS * (1 + prior.trusted_SK @ trust_K)
        for pair, measured in self._measured.items():
            misfit_N = measured.observed.points_N - mean_QS[pair, measured.observed.settings_N]
            mean_QS[pair] += misfit_N @ measured.weights_NS
        return mean_QS

    @property
    def noise_variance(self) -> float:
        """Of a whole trial's validation."""
        return (self._prior.noise_sd * self.scale) ** 2

    def _known(self, pair: int) -> Foreknown:
        expected_S = self._prior.mean_S if self._expected_QS is None else self._expected_QS[pair]
        return Foreknown(basis_A=self._basis_QA[pair], expected_S=expected_S, spread=float(self._spread_Q[pair]))

    def _design(self, known: Foreknown) -> FloatArray:
        prior = self._prior
        return np.concatenate(
            [prior.across_SR * known.spread, prior.shared_SU, prior.trusted_SK * known.expected_S[:, None]], axis=1
        )

    def _own(self, known: Foreknown, places: IntArray | slice) -> FloatArray:
        """Return the covariance of a pair's own part at some places with all: (places, S)."""
        squared_spread = known.spread**2
        own: FloatArray = self._prior.own_SS[places] * squared_spread
        own += self._prior.across_SS[places] * (_unexplained(known) * squared_spread)
        return own

    def _own_variance(self, known: Foreknown) -> FloatArray:
        """Return the variance (S,) of a pair's own part."""
        own_S, across_S = np.diagonal(self._prior.own_SS), np.diagonal(self._prior.across_SS)
        variance_S: FloatArray = (own_S + _unexplained(known) * across_S) * known.spread**2
        return variance_S

    def _of_settings(self, basis_A: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean (V,) and covariance (V, V) of the weights of a pair's functions of settings."""
        num_across = self._num_across
        mean_AR = self._mean_W[:num_across].reshape(len(basis_A), -1)
        rows_RW = (basis_A @ self._covariance_WW[:num_across].reshape(len(basis_A), -1)).reshape(mean_AR.shape[1], -1)
        rows_VW = np.concatenate([rows_RW, self._covariance_WW[num_across:]])
        across_VR = basis_A @ rows_VW[:, :num_across].reshape(len(rows_VW), *mean_AR.shape)
        covariance_VV = np.concatenate([across_VR, rows_VW[:, num_across:]], axis=1)
        return np.concatenate([basis_A @ mean_AR, self._mean_W[num_across:]]), covariance_VV

    def _count(self, known: Foreknown, observed: Observed, *, sign: int) -> FloatArray:
        """Add measurements of a pair, or take them away; return what they say of the weights, as rows of noise 1."""
        places_N, num_functions = observed.settings_N, self._prior.across_SR.shape[1]
        factor_NN = np.linalg.cholesky(_with_noise(self._own(known, places_N), observed, self._prior.noise_sd))
        design_NV = self._design(known)[places_N]
        across_NW = (known.basis_A[:, None] * design_NV[:, None, :num_functions]).reshape(len(places_N), -1)
        design_NW = np.concatenate([across_NW, design_NV[:, num_functions:]], axis=1)
        residual_N = observed.points_N - known.expected_S[places_N]
        # Not by scipy, which knows of triangles: importing it takes longer than all that it would save.
        white_NW = np.linalg.solve(factor_NN, design_NW)
        white_N = np.linalg.solve(factor_NN, residual_N)
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


def _unexplained(known: Foreknown) -> float:
    """Return which share of what pairs may have in common is this pair's own, as the functions of pairs have it."""
    return max(1 - float(known.basis_A @ known.basis_A), 0.0)


def _with_noise(own_NS: FloatArray, observed: Observed, noise_sd: float) -> FloatArray:
    """Return the covariance of what was measured of a pair, noise included: (N, N)."""
    covariance_NN: FloatArray = own_NS[:, observed.settings_N] + np.diag(noise_sd**2 + observed.extra_sd_N**2)
    return covariance_NN


def low_rank(covariance_SS: FloatArray, *, rank: int) -> FloatArray:
    """Return the factor (S, R) of the best approximation of a covariance by so many functions."""
    values, vectors = np.linalg.eigh(covariance_SS)
    kept = slice(-min(rank, len(values)), None)
    factor_SR: FloatArray = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    return factor_SR
