"""The posterior over the gains of all pairs, given observations of any pair: a Gaussian process in two layers.

**Model.** The gain of pair ``p`` at target ``x``, in compressed points, is::

    y(p, x) = m(p, x) (1 + t(x)) + s(p) sum_ar phi_a(p) W_ar psi_r(x) + sum_u v_u chi_u(x) + s(p) h_p(x) + e

- ``m`` is the expected gain and ``s`` the spread of the pair. Both come from an ``Experience``. Without it, they are
  the prior mean and 1.
- ``t`` has a value for each transfer set: the expected gains on the set are scaled by ``1 + t``.
- ``phi`` are basis functions of pairs, by which similar pairs share the weights ``W``.
- ``psi`` and ``chi`` are functions of targets (``Prior``).
- ``w = (W, v, t)`` are the weights. A priori they are independent standard normal variables.
- ``h_p`` is specific to the pair, with the covariance ``own``. The basis cannot explain the share ``1 - |phi(p)|^2`` of
  the across-pair covariance of a pair. This share is added to ``own``, as in Snelson and Ghahramani (2006), "Sparse
  Gaussian processes using pseudo-inputs".
- ``e`` is noise.

**Observations of one pair.** Let ``y`` be its observations, ``D`` the values of all functions at their targets, and
``K = own + noise`` their covariance given ``w``. With the Cholesky factor ``K = L L^T``, the whitened rows
``X = inverse(L) D`` and residuals ``r = inverse(L) (y - m)`` follow ``r = X w + N(0, I)``: a Bayesian linear regression
on ``w``. Given ``w``, pairs are independent, so their rows are added up (Rasmussen and Williams 2006, "Gaussian
Processes for Machine Learning", equation 2.8)::

    precision = I + sum X^T X        evidence = sum X^T r        mean(w) = inverse(precision) evidence

The cost therefore grows linearly with the number of pairs. The cost of one kernel over all observations would grow with
the cube of their number.

**Gains of one pair.** With ``A = inverse(K) own`` (observations x targets), ``D_x`` the functions at all targets and
``S`` the covariance of ``w``, the posterior of the pair's gains is::

    mean = m + D_x mean(w) + A^T (y - m - D mean(w))
    covariance = (D_x - A^T D) S (D_x - A^T D)^T + own - A^T own

**Scale.** All covariances are multiplied by one unknown number, ``scale^2``. Its prior says that it is 1, and counts as
much as ``n0`` observations. With ``n`` observations, the posterior of ``scale^2`` is an inverse gamma distribution
(Murphy 2012, "Machine Learning: A Probabilistic Perspective", section 7.6.3), and the estimate is the ratio of its two
parameters::

    scale^2 = (n0 + sum r^T r - evidence^T mean(w)) / (n0 + n)

Shape suffixes: Q = pairs, S = targets: settings, or settings after some of their epochs, A = basis functions of pairs,
R = functions of targets whose weights depend on the pair, U = functions whose weights all pairs share, K = transfer
sets, V = R + U + K, W = A * R + U + K weights, N = observations of one pair, M = observations of several pairs,
P = pairs that are processed at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.tuning.pair_posterior import PairPosterior
from peerkd.tuning.prior import Prior

_UPDATES_BETWEEN_SOLVES: Final = 10
"""The number of low-rank updates after which the covariance is computed anew, because rounding errors accumulate."""

_NUM_PAIRS_AT_ONCE: Final = 8
"""The number of pairs that are processed at once. Their arrays together fit into the processor's cache."""

_SCALE_PRIOR_OBSERVATIONS: Final = 100.0
"""The number of observations that the prior of the scale is worth: ``n0`` in the formula of the scale."""

_OWN_SHARE_ACROSS: Final = 0.1
"""The part of the variance of the weights ``W`` that is specific to each experiment."""
_OWN_SHARE_OF_ALL: Final = 0.5
"""The part of the variance of the weights ``v`` and ``t`` that is specific to each experiment."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairObservations:
    """All observations of one pair."""

    targets_N: IntArray
    points_N: FloatArray
    """The observed values, in compressed points."""

    extra_sd_N: FloatArray
    """The standard deviation of each observation about its target, in addition to the noise."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairPrior:
    """The prior of one pair, before its first observation."""

    basis_A: FloatArray
    """The values of the basis functions at the pair: a vector with a norm of at most 1."""

    expected_S: FloatArray
    """The expected gain of each target, in compressed points."""

    spread: float = 1.0
    """How much larger the deviations from expected gains are for this pair than for an average pair: a factor."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Whitened:
    """The observations of a pair as whitened rows of the regression, and their effect on the pair's specific part."""

    observed: PairObservations
    functions_NV: FloatArray
    """The whitened values of the functions of targets, not yet multiplied by the basis functions of pairs."""

    misfits_N: FloatArray
    """The whitened residuals, ``r`` in the formulas."""

    weights_NS: FloatArray
    """The matrix ``A`` in the formulas: how an observation changes each target through the pair's specific part."""


class Posterior:
    """The posterior over the gains of all pairs. Observations of one pair change the posterior of all pairs."""

    def __init__(
        self,
        prior: Prior,
        basis_QA: FloatArray,
        expected_QS: FloatArray | None = None,
        spread_Q: FloatArray | None = None,
    ) -> None:
        """Create a posterior without observations, which equals the prior.

        Args:
            prior: The prior over the targets of one pair.
            basis_QA: The values of the basis functions at each pair. The norm of a row is at most 1.
            expected_QS: The expected gains of each pair. None means the mean of the prior.
            spread_Q: The spread of each pair (``PairPrior.spread``). None means 1 for all pairs.
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
        self._squares, self._num_observations = 0.0, 0
        self._whitened: dict[int, _Whitened] = {}
        self._num_updates = 0
        self._solve()

    def learn(self, known: PairPrior, observed: PairObservations) -> None:
        """Learn from a pair of an earlier experiment. After the last such pair, ``begin`` must be called."""
        whitened = self._whiten(known, observed)
        self._count(self._rows(known.basis_A, whitened), whitened.misfits_N, sign=1)

    def begin(self) -> None:
        """Use the posterior of the earlier experiments as the prior of this experiment, with a larger variance.

        In the model, the weights of this experiment are the weights of the earlier experiments plus an independent
        normal deviation. The covariance of the sum is the sum of the two covariances.
        """
        self._solve()
        own_W = np.full(len(self._mean_W), _OWN_SHARE_OF_ALL)
        own_W[: self._num_across] = _OWN_SHARE_ACROSS
        self._precision_WW = np.linalg.inv(self._covariance_WW + np.diag(own_W))
        # With n = 0, the mean is that of the earlier experiments, and with these squares the scale starts at 1.
        self._evidence_W = self._precision_WW @ self._mean_W
        self._squares, self._num_observations = float(self._evidence_W @ self._mean_W), 0
        self._solve()

    def update(self, changed: Mapping[int, PairObservations]) -> None:
        """Replace all observations of some pairs by new observations.

        Args:
            changed: The new observations of each pair, by the index of the pair.
        """
        before = {pair: self._whitened[pair] for pair in changed if pair in self._whitened}
        now = {pair: self._whiten(self._known(pair), observed) for pair, observed in changed.items()}
        self._whitened.update(now)
        news = []
        # Rows are added before others are removed, so that the precision never falls below that of the prior.
        for sign, whitened in ((1, now), (-1, before)):
            if whitened:
                rows_MW = np.concatenate([self._rows(self._basis_QA[pair], each) for pair, each in whitened.items()])
                self._count(rows_MW, np.concatenate([each.misfits_N for each in whitened.values()]), sign=sign)
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
        """The estimated factor by which all standard deviations are larger than in the prior."""
        return self._scale

    def of_pairs(self, pairs: Sequence[int]) -> Iterator[PairPosterior]:
        """Yield the posterior of each given pair. One call for many pairs takes less time than many calls."""
        for start in range(0, len(pairs), _NUM_PAIRS_AT_ONCE):
            yield from self._of_pairs(np.array(pairs[start : start + _NUM_PAIRS_AT_ONCE]))

    def means(self) -> FloatArray:
        """Return the posterior mean gains of all pairs, of shape (Q, S). This takes less time than ``of_pairs``."""
        # mean = m (1 + t) + s phi^T W psi + v chi for all pairs; then + A^T (y - mean) for the pairs with observations.
        prior, num_across = self._prior, self._num_across
        weights_QR = self._basis_QA @ self._mean_W[:num_across].reshape(-1, self._num_functions)
        shared_U, trust_K = np.split(self._mean_W[num_across:], [prior.shared_SU.shape[1]])
        mean_QS: FloatArray = (weights_QR @ prior.across_SR.T) * self._spread_Q[:, None] + prior.shared_SU @ shared_U
        mean_QS += self._expected_QS * (1 + prior.trusted_SK @ trust_K)
        for pair, whitened in self._whitened.items():
            misfit_N = whitened.observed.points_N - mean_QS[pair, whitened.observed.targets_N]
            mean_QS[pair] += misfit_N @ whitened.weights_NS
        return mean_QS

    @property
    def noise_variance(self) -> float:
        """The variance of the noise of an observation."""
        return (self._prior.noise_sd * self.scale) ** 2

    def _of_pairs(self, pairs_P: IntArray) -> Iterator[PairPosterior]:
        """Yield the posterior of each given pair.

        The formulas at the top of this file give it. With their symbols, ``design`` is ``D_x``, ``right`` is
        ``S (D_x - A^T D)^T`` and ``lost`` is ``D right + own``. The covariance is then
        ``design^T right + own - A^T lost``. Here ``own`` includes the part of the across-pair covariance that the basis
        cannot explain.
        """
        prior, squared_scale, num_functions = self._prior, self.scale**2, self._num_functions
        basis_PA, expected_PS, spread_P = self._basis_QA[pairs_P], self._expected_QS[pairs_P], self._spread_Q[pairs_P]
        design_PVS = self._designs(expected_PS, spread_P)
        weights_PV, covariance_PVV = self._weights_of(basis_PA)
        mean_PS = expected_PS + (weights_PV[:, None] @ design_PVS)[:, 0]
        right_PVS = (covariance_PVV * squared_scale) @ design_PVS
        own_factor_P = spread_P**2 * squared_scale
        unexplained_P = self._unexplained_Q[pairs_P] * squared_scale
        whitened_P = [self._whitened.get(pair) for pair in pairs_P.tolist()]
        for right_VS, whitened in zip(right_PVS, whitened_P, strict=True):
            if whitened is not None:
                right_VS -= right_VS[:, whitened.observed.targets_N] @ whitened.weights_NS
        right_PVS[:, :num_functions] += design_PVS[:, :num_functions] * unexplained_P[:, None, None]
        variance_PS = np.einsum("pvs,pvs->ps", design_PVS, right_PVS)
        variance_PS += self._own_variance_S * own_factor_P[:, None]
        for place, whitened in enumerate(whitened_P):
            mean_S, variance_S, own_factor = mean_PS[place], variance_PS[place], float(own_factor_P[place])
            left_KS, right_KS = design_PVS[place], right_PVS[place]
            if whitened is not None:
                places_N, weights_NS = whitened.observed.targets_N, whitened.weights_NS
                lost_NS = left_KS[:, places_N].T @ right_KS + prior.own_SS[places_N] * own_factor
                mean_S = mean_S + (whitened.observed.points_N - mean_S[places_N]) @ weights_NS
                variance_S = variance_S - np.einsum("ns,ns->s", weights_NS, lost_NS)
                left_KS, right_KS = np.concatenate([left_KS, weights_NS]), np.concatenate([right_KS, -lost_NS])
            yield PairPosterior(
                mean_S=mean_S,
                variance_S=variance_S,
                own_SS=prior.own_SS,
                own_factor=own_factor,
                left_KS=left_KS,
                right_KS=right_KS,
            )

    def _known(self, pair: int) -> PairPrior:
        return PairPrior(
            basis_A=self._basis_QA[pair], expected_S=self._expected_QS[pair], spread=float(self._spread_Q[pair])
        )

    def _designs(
        self, expected_PS: FloatArray, spread_P: FloatArray, places: IntArray | slice = slice(None)
    ) -> FloatArray:
        """Return the values of the V functions of the model for some pairs and targets, of shape (P, V, targets)."""
        across_RS, shared_US, trusted_KS = self._across_RS, self._shared_US, self._trusted_KS
        expected_PS = expected_PS[:, places]
        num_functions, num_shared = len(across_RS), len(across_RS) + len(shared_US)
        design_PVS = np.empty((len(expected_PS), num_shared + len(trusted_KS), expected_PS.shape[1]))
        np.multiply(across_RS[:, places], spread_P[:, None, None], out=design_PVS[:, :num_functions])
        design_PVS[:, num_functions:num_shared] = shared_US[:, places]
        np.multiply(trusted_KS[:, places], expected_PS[:, None], out=design_PVS[:, num_shared:])
        return design_PVS

    def _weights_of(self, basis_PA: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the posterior of the weights of the V functions of targets, for each given pair.

        The model at the top of this file is a sum of functions of targets, each times a weight:

        - The R functions ``psi`` have weights that depend on the pair. The weights of pair p are ``phi(p)^T W``, where
          ``phi(p)`` are the values of the A basis functions at the pair.
        - The U functions ``chi`` have the weights ``v``, and the K transfer sets have the weights ``t``. All pairs
          share them.

        Args:
            basis_PA: The values of the basis functions at each pair.

        Returns:
            The mean, of shape (P, V), and the covariance, of shape (P, V, V). The R weights of ``psi`` come first.
        """
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

    def _whiten(self, known: PairPrior, observed: PairObservations) -> _Whitened:
        # K = own + noise; with K = L L^T: X = inverse(L) D, r = inverse(L) (y - m), A = inverse(L)^T inverse(L) own.
        prior, places_N = self._prior, observed.targets_N
        own_NS = prior.own_SS[places_N] + prior.across_SS[places_N] * _unexplained(known.basis_A)
        own_NS *= known.spread**2
        noise_NN = np.diag(prior.noise_sd**2 + observed.extra_sd_N**2)
        # The factor is triangular. scipy could use that, but importing scipy takes longer than it would save.
        whiten_NN = np.linalg.inv(np.linalg.cholesky(own_NS[:, places_N] + noise_NN))
        (design_VN,) = self._designs(known.expected_S[None], np.array([known.spread]), places_N)
        return _Whitened(
            observed=observed,
            functions_NV=whiten_NN @ design_VN.T,
            misfits_N=whiten_NN @ (observed.points_N - known.expected_S[places_N]),
            weights_NS=whiten_NN.T @ (whiten_NN @ own_NS),
        )

    def _rows(self, basis_A: FloatArray, whitened: _Whitened) -> FloatArray:
        """Return the rows ``X`` of the regression for a pair's observations, of shape (N, W).

        A column belongs to one weight. The model contains the term ``phi_a(p) W_ar psi_r(x)``, so the column of
        ``W_ar`` is ``phi_a(p)`` times the whitened values of ``psi_r``.
        """
        across_NR, others_NV = np.split(whitened.functions_NV, [self._num_functions], axis=1)
        across_NW = (basis_A[:, None] * across_NR[:, None]).reshape(len(across_NR), -1)
        return np.concatenate([across_NW, others_NV], axis=1)

    def _count(self, rows_MW: FloatArray, misfits_M: FloatArray, *, sign: int) -> None:
        """Add observations to the sums of the regression, or remove them.

        The sums are ``X^T X``, ``X^T r``, ``r^T r`` and the number of observations ``n``.

        Args:
            rows_MW: The rows ``X`` of the observations.
            misfits_M: The whitened residuals ``r`` of the observations.
            sign: 1 to add the observations, -1 to remove them.
        """
        self._precision_WW += sign * (rows_MW.T @ rows_MW)
        self._evidence_W += sign * (misfits_M @ rows_MW)
        self._squares += sign * float(misfits_M @ misfits_M)
        self._num_observations += sign * len(misfits_M)

    def _revise(self, rows_MW: FloatArray, *, sign: int) -> None:
        """Update the covariance of the weights after observations were added or removed.

        Let C be the covariance before, P = inverse(C) the precision before, X the rows of the observations, and g the
        sign: 1 if they were added, -1 if they were removed. By Woodbury's formula, with ``inverse(g I) = g I``, the new
        covariance is::

            inverse(P + g X^T X) = C - C X^T inverse(g I + X C X^T) X C

        For few rows this is cheaper than ``_solve``.

        Args:
            rows_MW: The rows X of the observations.
            sign: The sign g.
        """
        moved_WM = self._covariance_WW @ rows_MW.T
        inner_MM = sign * np.eye(len(rows_MW)) + rows_MW @ moved_WM
        self._covariance_WW -= moved_WM @ np.linalg.solve(inner_MM, moved_WM.T)

    def _solve(self) -> None:
        """Compute the covariance of the weights from their precision."""
        self._covariance_WW = np.linalg.inv(self._precision_WW)
        self._settle()

    def _settle(self) -> None:
        """Compute the mean of the weights and the scale, by the formulas at the top of this file."""
        self._mean_W = self._covariance_WW @ self._evidence_W
        misfit = self._squares - self._evidence_W @ self._mean_W
        squared = (_SCALE_PRIOR_OBSERVATIONS + misfit) / (_SCALE_PRIOR_OBSERVATIONS + self._num_observations)
        self._scale = float(np.sqrt(max(squared, 1e-6)))


def _unexplained(basis_A: FloatArray) -> float:
    """Return the share of a pair's across-pair variance that the low-rank basis cannot explain.

    It is 1 minus the squared norm of the values of the basis functions at the pair.
    """
    return max(1 - float(basis_A @ basis_A), 0.0)
