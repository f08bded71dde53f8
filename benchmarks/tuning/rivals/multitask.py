"""A rival with one Gaussian process over all pairs and settings: Bayesian optimisation of many similar tasks.

The kernel is a product of one between pairs and one between settings (Bonilla, Chai and Williams 2007, "Multi-task
Gaussian Process Prediction"). Its hyper-parameters maximise the product of their prior and the marginal likelihood.
Suggestions maximise a sample of the posterior (Thompson 1933), which is drawn by Matheron's rule (Wilson et al. 2020,
arXiv:2002.09309).

Shape suffixes: Q = ordered pairs, P = these pairs and those of earlier sweeps, S = settings, N, M = observations.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.multitask_kernel import Hypers, Kernels, candidates, log_likelihood, log_prior
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.seeds import generator
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.settings_prior import compress
from peerkd.tuning.space import NO_SETTING, Space

_BATCH_SHARE: Final = 1 / 3
"""Size of a batch of suggestions as a share of the number of pairs. The Gaussian process is updated after each
batch."""

_MAX_FITTED: Final = 300
"""Largest number of observations to which hyper-parameters are fitted. Random ones are taken if there are more."""

_MAX_EARLIER: Final = 600
"""Largest number of earlier trials that are used as observations. The prior mean is computed from all earlier
trials."""

_OF_TRIAL_SHARE: Final = 0.5
"""Share of the noise variance that belongs to the trained network, which is better or worse than expected on all
samples. The rest is the error of the measurement on the validation samples."""

_FIT_GROWTH: Final = 1.5
"""Hyper-parameters are fitted again when the number of observations has grown by this factor."""


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    All suggestions are whole trials. For each batch, the tuner draws a sample of the posterior and finds the setting of
    each pair with the largest sampled improvement per cost. The batch has the pairs for which this improvement is
    largest. A pair gets the setting with the highest posterior mean if this mean is above 0.
    """
    known = Known(space, earlier)
    surrogate = _Surrogate(known, seed, earlier)
    return Scripted(known, [_script(known, surrogate, seed)], choose=surrogate.choices)


def _script(known: Known, surrogate: "_Surrogate", seed: int) -> Script:
    space = known.space
    asked: list[Suggestion] = []
    left_QS = np.ones((space.num_pairs, len(space.settings)), dtype=np.bool_)
    while left_QS.any():
        surrogate.observe(asked)
        rng = generator(seed, "tuner", "multitask", len(asked))
        batch = surrogate.batch(left_QS, rng, num=max(round(_BATCH_SHARE * space.num_pairs), 1))
        for ask in batch:
            left_QS[ask.pair, ask.setting] = False
        yield batch
        asked += batch


class _Surrogate:
    """The Gaussian process, given some observations."""

    def __init__(self, known: Known, seed: int, earlier: Sequence[EarlierSweep]) -> None:
        self._known, self._space, self._seed = known, known.space, seed
        self._kernels = Kernels(self._space, earlier)
        gains_LS = compress(known.earlier_gains_LS)
        self._earlier_NP, self._earlier_points_N = _some(gains_LS, self._space.num_pairs, seed)
        self._has_earlier = bool(len(self._earlier_points_N))
        num_S = (~np.isnan(gains_LS)).sum(axis=0)
        self._mean_S = np.nansum(gains_LS, axis=0) / np.maximum(num_S, 1)
        self._hypers, self._num_fitted = Hypers(), 0
        self._observe(np.empty((0, 2), dtype=np.int64), np.empty(0))

    def observe(self, asked: Sequence[Suggestion]) -> None:
        """Condition on the results of some suggestions, and on earlier sweeps."""
        places_N2 = np.array([(ask.pair, ask.setting) for ask in asked], dtype=np.int64).reshape(-1, 2)
        self._observe(places_N2, compress(np.array([self._known.gain(ask) for ask in asked])))

    def choices(self, known: Known) -> IntArray:
        """Return the setting with the highest posterior mean of each pair, given everything that is known."""
        whole_QS = known.whole_gains
        places_N2 = np.argwhere(~np.isnan(whole_QS))
        if not len(places_N2) and not self._has_earlier:
            return np.full(self._space.num_pairs, NO_SETTING)
        self._observe(places_N2, compress(whole_QS[tuple(places_N2.T)]), fits=False)
        mean_QS = self._mean()
        return np.where(mean_QS.max(axis=1) > 0, mean_QS.argmax(axis=1), NO_SETTING)

    def batch(self, left_QS: BoolArray, rng: np.random.Generator, *, num: int) -> list[Suggestion]:
        """Return the settings with the largest sampled improvement per cost, at most one for each pair."""
        mean_QS, sample_QS = self._mean(), self._sample(rng)
        best_Q = mean_QS.argmax(axis=1)
        rows_Q = np.arange(len(best_Q))
        now_Q = np.maximum(np.where(mean_QS[rows_Q, best_Q] > 0, sample_QS[rows_Q, best_Q], 0.0), 0.0)
        improved_QS = np.where(left_QS, (sample_QS - now_Q[:, None]) / self._space.num_samples_QS, -np.inf)
        chosen_Q = improved_QS.argmax(axis=1)
        order = np.argsort(-improved_QS[rows_Q, chosen_Q], kind="stable")[:num]
        return [
            Suggestion(int(pair), int(chosen_Q[pair]), self._space.num_epochs)
            for pair in order
            if left_QS[pair, chosen_Q[pair]]
        ]

    def _observe(self, places_N2: IntArray, points_N: FloatArray, *, fits: bool = True) -> None:
        self._places_N2 = np.concatenate([self._earlier_NP, places_N2])
        points_N = np.concatenate([self._earlier_points_N, points_N])
        # Without earlier sweeps, the prior mean is that of all observations.
        own_mean = 0.0 if self._has_earlier or not len(points_N) else float(points_N.mean())
        self._prior_S = self._mean_S + own_mean
        self._misfit_N = points_N - self._prior_S[self._places_N2[:, 1]]
        if fits and len(points_N) >= max(_FIT_GROWTH * self._num_fitted, 10):
            self._fit()
        self._kernel_PP, self._kernel_SS = self._kernels.matrices(self._hypers)
        cross_NN = self._cross(self._places_N2, self._places_N2)
        self._factor_NN = np.linalg.cholesky(cross_NN + self._noise * np.eye(len(points_N)))
        self._weights_N = self._solve(self._misfit_N)

    def _fit(self) -> None:
        """Improve the hyper-parameters one after the other, in two rounds."""
        self._num_fitted = len(self._misfit_N)
        rng = generator(self._seed, "tuner", "multitask", "fit", self._num_fitted)
        some = rng.permutation(self._num_fitted)[:_MAX_FITTED]
        places_N2, misfit_N = self._places_N2[some], self._misfit_N[some]

        def value(hypers: Hypers) -> float:
            return log_prior(hypers) + log_likelihood(self._kernels, hypers, places_N2, misfit_N)

        best = value(self._hypers)
        for _ in range(2):
            for name in Hypers._fields:
                for hypers in candidates(self._hypers, name):
                    found = value(hypers)
                    if found > best:
                        best, self._hypers = found, hypers

    @property
    def _noise(self) -> float:
        return self._hypers.noise_sd**2

    def _cross(self, one_N2: IntArray, other_M2: IntArray) -> FloatArray:
        cross_NM: FloatArray = (
            self._kernel_PP[np.ix_(one_N2[:, 0], other_M2[:, 0])]
            * self._kernel_SS[np.ix_(one_N2[:, 1], other_M2[:, 1])]
        )
        return cross_NM

    def _solve(self, right_N: FloatArray) -> FloatArray:
        solved_N: FloatArray = np.linalg.solve(self._factor_NN.T, np.linalg.solve(self._factor_NN, right_N))
        return solved_N

    def _mean(self) -> FloatArray:
        mean_PS = np.zeros((len(self._kernel_PP), len(self._kernel_SS)))
        # The covariance of an observation with its own trial includes the effect of the trial.
        np.add.at(mean_PS, tuple(self._places_N2.T), _OF_TRIAL_SHARE * self._noise * self._weights_N)
        mean_QS: FloatArray = self._prior_S + mean_PS[: self._space.num_pairs] + self._spread_out(self._weights_N)
        return mean_QS

    def _spread_out(self, weights_N: FloatArray) -> FloatArray:
        """Return the kernel between all points and the observations times a vector of weights, of shape (Q, S).

        A point is a pair with a setting. The kernel is a product of a kernel between pairs and one between settings, so
        two small matrix products suffice.

        Args:
            weights_N: The weight of each observation.
        """
        weights_PS = np.zeros((len(self._kernel_PP), len(self._kernel_SS)))
        np.add.at(weights_PS, tuple(self._places_N2.T), weights_N)
        spread_QS: FloatArray = self._kernel_PP[: self._space.num_pairs] @ weights_PS @ self._kernel_SS
        return spread_QS

    def _sample(self, rng: np.random.Generator) -> FloatArray:
        """Return a sample of the posterior, of shape (Q, S): a sample of the prior, corrected by what was observed.

        Matheron's rule is ``f + K_xN inverse(K_NN + noise) (y - f_N - e)``. Here f is a sample of the prior at all
        points, f_N contains its values at the observations, e is a sample of the noise, and y contains the observed
        values. K_xN is the kernel between all points and the observations, and K_NN is the kernel between the
        observations.
        """
        left_PP, left_SS = _root(self._kernel_PP), _root(self._kernel_SS)
        prior_PS = left_PP @ rng.normal(size=(len(left_PP), len(left_SS))) @ left_SS.T
        noise_N = rng.normal(size=len(self._misfit_N)) * self._hypers.noise_sd
        missing_N = self._misfit_N - prior_PS[tuple(self._places_N2.T)] - noise_N
        drawn_QS = prior_PS[: self._space.num_pairs]
        sampled_QS: FloatArray = self._prior_S + drawn_QS + self._spread_out(self._solve(missing_N))
        return sampled_QS


def _some(gains_LS: FloatArray, num_pairs: int, seed: int) -> tuple[IntArray, FloatArray]:
    """Return the pair and setting, of shape (N, 2), and the gain, of shape (N,), of randomly drawn earlier trials.

    Gains are in compressed points. Earlier pairs are numbered after the pairs of the space.
    """
    places_N2 = np.argwhere(~np.isnan(gains_LS))
    some = generator(seed, "tuner", "multitask", "earlier").permutation(len(places_N2))[:_MAX_EARLIER]
    places_N2 = places_N2[some]
    points_N: FloatArray = gains_LS[tuple(places_N2.T)]
    return places_N2 + np.array([num_pairs, 0]), points_N


def _root(kernel: FloatArray) -> FloatArray:
    root: FloatArray = np.linalg.cholesky(kernel + 1e-6 * np.trace(kernel) / len(kernel) * np.eye(len(kernel)))
    return root
