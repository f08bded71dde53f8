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
V = R + U + K, W = A * R + U + K weights, N = measurements of one pair, M = of several, P = pairs that are looked at
at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.marginals import Marginals
from peerkd.tuning.prior import Prior

_UPDATES_BETWEEN_SOLVES: Final = 10
"""Revised again and again, a covariance gathers errors."""

_NUM_PAIRS_AT_ONCE: Final = 8
"""Of which as much is kept at a time as is near to the processor."""

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
class _Measured:
    """What was measured of a pair, and what follows for its own part whatever other pairs say."""

    observed: Observed
    functions_NV: FloatArray
    """What the pair's functions of settings are seen by, noise being 1 and each independent of others."""

    misfits_N: FloatArray
    """What was seen so, less what was expected."""

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
        num_pairs = len(basis_QA)
        self._prior, self._basis_QA = prior, basis_QA
        self._expected_QS = np.broadcast_to(prior.mean_S, (num_pairs, len(prior.mean_S)))
        if expected_QS is not None:
            self._expected_QS = expected_QS
        self._spread_Q = np.ones(num_pairs) if spread_Q is None else spread_Q
        self._across_RS, self._shared_US, self._trusted_KS = (
            np.ascontiguousarray(each.T) for each in (prior.across_SR, prior.shared_SU, prior.trusted_SK)
        )
        self._own_variance_S = np.diagonal(prior.own_SS)
        self._unexplained_Q = np.array([_unexplained(basis_A) for basis_A in basis_QA])
        self._num_functions = prior.across_SR.shape[1]
        self._num_across = basis_QA.shape[1] * self._num_functions
        num_weights = self._num_across + prior.shared_SU.shape[1] + prior.trusted_SK.shape[1]
        self._precision_WW = np.eye(num_weights)
        self._evidence_W = np.zeros(num_weights)
        self._squares, self._num_measurements = 0.0, 0
        self._measured: dict[int, _Measured] = {}
        self._num_updates = 0
        self._solve()

    def learn(self, known: Foreknown, observed: Observed) -> None:
        """Learn from a pair of an earlier experiment; call ``begin`` when all are told."""
        measured = self._take(known, observed)
        self._count(self._rows(known.basis_A, measured), measured.misfits_N, sign=1)

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
        before = {pair: self._measured[pair] for pair in changed if pair in self._measured}
        now = {pair: self._take(self._known(pair), observed) for pair, observed in changed.items()}
        self._measured.update(now)
        news = []
        # Additions first, so that nothing is ever less certain than by the prior.
        for sign, measured in ((1, now), (-1, before)):
            if measured:
                rows_MW = np.concatenate([self._rows(self._basis_QA[pair], each) for pair, each in measured.items()])
                self._count(rows_MW, np.concatenate([each.misfits_N for each in measured.values()]), sign=sign)
                news.append((sign, rows_MW))
        self._num_updates += 1
        num_rows = sum(len(rows_MW) for _, rows_MW in news)
        if self._num_updates % _UPDATES_BETWEEN_SOLVES == 0 or num_rows > len(self._evidence_W) / 4:
            self._solve()
            return
        for sign, rows_MW in news:
            self._revise(rows_MW, sign=sign)
        self._settle()

    @property
    def scale(self) -> float:
        """By how much gains vary more, or less, than was believed: a factor of all standard deviations."""
        return self._scale

    def marginals(self, pairs: Sequence[int]) -> Iterator[Marginals]:
        """Yield what is believed of the gains of each of some pairs, which costs less than asking one by one."""
        for start in range(0, len(pairs), _NUM_PAIRS_AT_ONCE):
            yield from self._marginals(np.array(pairs[start : start + _NUM_PAIRS_AT_ONCE]))

    def means(self) -> FloatArray:
        """Return the mean (Q, S) of all pairs' gains, at less cost than ``marginals``."""
        prior, num_across = self._prior, self._num_across
        weights_QR = self._basis_QA @ self._mean_W[:num_across].reshape(-1, self._num_functions)
        shared_U, trust_K = np.split(self._mean_W[num_across:], [prior.shared_SU.shape[1]])
        mean_QS: FloatArray = (weights_QR @ prior.across_SR.T) * self._spread_Q[:, None] + prior.shared_SU @ shared_U
        mean_QS += self._expected_QS * (1 + prior.trusted_SK @ trust_K)
        for pair, measured in self._measured.items():
            misfit_N = measured.observed.points_N - mean_QS[pair, measured.observed.settings_N]
            mean_QS[pair] += misfit_N @ measured.weights_NS
        return mean_QS

    @property
    def noise_variance(self) -> float:
        """Of a whole trial's validation."""
        return (self._prior.noise_sd * self.scale) ** 2

    def _marginals(self, pairs_P: IntArray) -> Iterator[Marginals]:
        """Yield what is believed of some pairs: what the functions that they share say, and what is their own.

        A pair's covariance is ``design.T @ covariance_VV @ design`` and the own part; what was measured of the pair
        takes something from both.
        """
        prior, squared_scale, num_functions = self._prior, self.scale**2, self._num_functions
        basis_PA, expected_PS, spread_P = self._basis_QA[pairs_P], self._expected_QS[pairs_P], self._spread_Q[pairs_P]
        design_PVS = self._designs(expected_PS, spread_P)
        weights_PV, covariance_PVV = self._of_settings(basis_PA)
        mean_PS = expected_PS + (weights_PV[:, None] @ design_PVS)[:, 0]
        right_PVS = (covariance_PVV * squared_scale) @ design_PVS
        own_factor_P = spread_P**2 * squared_scale
        unexplained_P = self._unexplained_Q[pairs_P] * squared_scale
        measured_P = [self._measured.get(pair) for pair in pairs_P.tolist()]
        for right_VS, measured in zip(right_PVS, measured_P, strict=True):
            if measured is not None:
                right_VS -= right_VS[:, measured.observed.settings_N] @ measured.weights_NS
        right_PVS[:, :num_functions] += design_PVS[:, :num_functions] * unexplained_P[:, None, None]
        variance_PS = np.einsum("pvs,pvs->ps", design_PVS, right_PVS)
        variance_PS += self._own_variance_S * own_factor_P[:, None]
        for place, measured in enumerate(measured_P):
            mean_S, variance_S, own_factor = mean_PS[place], variance_PS[place], float(own_factor_P[place])
            left_KS, right_KS = design_PVS[place], right_PVS[place]
            if measured is not None:
                places_N, weights_NS = measured.observed.settings_N, measured.weights_NS
                lost_NS = left_KS[:, places_N].T @ right_KS + prior.own_SS[places_N] * own_factor
                mean_S = mean_S + (measured.observed.points_N - mean_S[places_N]) @ weights_NS
                variance_S = variance_S - np.einsum("ns,ns->s", weights_NS, lost_NS)
                left_KS, right_KS = np.concatenate([left_KS, weights_NS]), np.concatenate([right_KS, -lost_NS])
            yield Marginals(
                mean_S=mean_S,
                variance_S=variance_S,
                own_SS=prior.own_SS,
                own_factor=own_factor,
                left_KS=left_KS,
                right_KS=right_KS,
            )

    def _known(self, pair: int) -> Foreknown:
        return Foreknown(
            basis_A=self._basis_QA[pair], expected_S=self._expected_QS[pair], spread=float(self._spread_Q[pair])
        )

    def _designs(
        self, expected_PS: FloatArray, spread_P: FloatArray, places: IntArray | slice = slice(None)
    ) -> FloatArray:
        """Return the functions of settings of some pairs, each at some places: (P, V, places)."""
        across_RS, shared_US, trusted_KS = self._across_RS, self._shared_US, self._trusted_KS
        expected_PS = expected_PS[:, places]
        num_functions, num_shared = len(across_RS), len(across_RS) + len(shared_US)
        design_PVS = np.empty((len(expected_PS), num_shared + len(trusted_KS), expected_PS.shape[1]))
        np.multiply(across_RS[:, places], spread_P[:, None, None], out=design_PVS[:, :num_functions])
        design_PVS[:, num_functions:num_shared] = shared_US[:, places]
        np.multiply(trusted_KS[:, places], expected_PS[:, None], out=design_PVS[:, num_shared:])
        return design_PVS

    def _of_settings(self, basis_PA: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean (P, V) and covariance (P, V, V) of the weights of the functions of settings of some pairs."""
        (num_pairs, num_basis), num_across, num_functions = basis_PA.shape, self._num_across, self._num_functions
        num_weights = len(self._mean_W)
        rows_PRW = (basis_PA @ self._covariance_WW[:num_across].reshape(num_basis, -1)).reshape(
            num_pairs, num_functions, num_weights
        )
        across_PRAR = rows_PRW[:, :, :num_across].reshape(num_pairs, num_functions, num_basis, num_functions)
        num_all = num_functions + num_weights - num_across
        covariance_PVV = np.empty((num_pairs, num_all, num_all))
        covariance_PVV[:, :num_functions, :num_functions] = (basis_PA[:, None, None] @ across_PRAR)[:, :, 0]
        covariance_PVV[:, :num_functions, num_functions:] = rows_PRW[:, :, num_across:]
        covariance_PVV[:, num_functions:, :num_functions] = rows_PRW[:, :, num_across:].transpose(0, 2, 1)
        covariance_PVV[:, num_functions:, num_functions:] = self._covariance_WW[num_across:, num_across:]
        mean_PV = np.empty((num_pairs, num_all))
        mean_PV[:, :num_functions] = basis_PA @ self._mean_W[:num_across].reshape(num_basis, -1)
        mean_PV[:, num_functions:] = self._mean_W[num_across:]
        return mean_PV, covariance_PVV

    def _take(self, known: Foreknown, observed: Observed) -> _Measured:
        prior, places_N = self._prior, observed.settings_N
        own_NS = prior.own_SS[places_N] + prior.across_SS[places_N] * _unexplained(known.basis_A)
        own_NS *= known.spread**2
        noise_NN = np.diag(prior.noise_sd**2 + observed.extra_sd_N**2)
        # Not by scipy, which knows of triangles: importing it takes longer than all that it would save.
        whiten_NN = np.linalg.inv(np.linalg.cholesky(own_NS[:, places_N] + noise_NN))
        (design_VN,) = self._designs(known.expected_S[None], np.array([known.spread]), places_N)
        return _Measured(
            observed=observed,
            functions_NV=whiten_NN @ design_VN.T,
            misfits_N=whiten_NN @ (observed.points_N - known.expected_S[places_N]),
            weights_NS=whiten_NN.T @ (whiten_NN @ own_NS),
        )

    def _rows(self, basis_A: FloatArray, measured: _Measured) -> FloatArray:
        """Return what the measurements of a pair say of the weights (N, W), noise being 1."""
        across_NR, others_NV = np.split(measured.functions_NV, [self._num_functions], axis=1)
        across_NW = (basis_A[:, None] * across_NR[:, None]).reshape(len(across_NR), -1)
        return np.concatenate([across_NW, others_NV], axis=1)

    def _count(self, rows_MW: FloatArray, misfits_M: FloatArray, *, sign: int) -> None:
        """Add measurements, or take them away."""
        self._precision_WW += sign * (rows_MW.T @ rows_MW)
        self._evidence_W += sign * (misfits_M @ rows_MW)
        self._squares += sign * float(misfits_M @ misfits_M)
        self._num_measurements += sign * len(misfits_M)

    def _revise(self, rows_MW: FloatArray, *, sign: int) -> None:
        """Bring the covariance up to date by the formula of Woodbury, which is cheaper than solving for few rows."""
        moved_WM = self._covariance_WW @ rows_MW.T
        inner_MM = sign * np.eye(len(rows_MW)) + rows_MW @ moved_WM
        self._covariance_WW -= moved_WM @ np.linalg.solve(inner_MM, moved_WM.T)

    def _solve(self) -> None:
        self._covariance_WW = np.linalg.inv(self._precision_WW)
        self._settle()

    def _settle(self) -> None:
        self._mean_W = self._covariance_WW @ self._evidence_W
        misfit = self._squares - self._evidence_W @ self._mean_W
        squared = (_SCALE_PRIOR_MEASUREMENTS + misfit) / (_SCALE_PRIOR_MEASUREMENTS + self._num_measurements)
        self._scale = float(np.sqrt(max(squared, 1e-6)))


def _unexplained(basis_A: FloatArray) -> float:
    """Return which share of what pairs may have in common is one pair's own, as the functions of pairs have it."""
    return max(1 - float(basis_A @ basis_A), 0.0)
