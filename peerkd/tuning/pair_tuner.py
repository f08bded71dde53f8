"""The tuner: it measures where that is expected to raise the gain of some pair's choice the most for its cost.

Shape suffixes: Q = pairs, S = settings, E = epochs, C = measurements that could be made.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.accounting import Account
from peerkd.tuning.first_asks import first_asks
from peerkd.tuning.information import Belief, knowledge_gradients
from peerkd.tuning.pair_basis import PairBasis
from peerkd.tuning.posterior import Observed, Posterior, Prior
from peerkd.tuning.protocol import Ask, Earlier, Measurement
from peerkd.tuning.settings_prior import compress, early_offsets, early_sds, expand
from peerkd.tuning.space import NO_SETTING, Space

_NUM_RUNGS: Final = 3
"""Epochs at which a trial may be stopped, so that many epochs do not make the choice slow."""

_NEWS_SHARE: Final = 0.1
"""Of all measurements: so many new ones before what they say of other pairs is worked out."""

_MAX_EARLIER_PAIRS: Final = 200
"""Of each earlier experiment."""

_WORTHLESS_POINTS: Final = 1e-4


class Prediction(NamedTuple):
    """What is believed of the choices of all pairs, as fractions; 0 for pairs that are left as they are."""

    gains_Q: FloatArray
    standard_deviations_Q: FloatArray


class PairTuner:
    """A ``Tuner`` whose pairs share what they learn. Deterministic: the same tells give the same asks."""

    def __init__(self, space: Space, *, earlier: Sequence[Earlier] = ()) -> None:
        """Begin from nothing, or from the tables of earlier experiments, as far as their settings are the same."""
        self._space = space
        basis = PairBasis([space, *(each.space for each in earlier)])
        self._posterior = Posterior(Prior(space.settings), basis.values(space))
        for each in earlier:
            self._learn(each, basis)
        if earlier:
            self._posterior.begin()
        self._first = deque(() if earlier else first_asks(space, basis.spread(space)))
        self._offsets_SE = early_offsets(space.settings, num_epochs=space.num_epochs)
        self._variances_SE = early_sds(space.settings, num_epochs=space.num_epochs) ** 2
        self._rungs = np.unique(np.ceil(np.linspace(0, space.num_epochs, _NUM_RUNGS + 1)[1:]).astype(np.int64))
        self._account = Account(space)
        self._asked_epochs_QS = np.zeros((space.num_pairs, len(space.settings)), dtype=np.int64)
        self._told: dict[int, dict[int, tuple[int, float]]] = {}
        """By pair and setting: the epochs that were done last, and the gain after them in compressed points."""

        self._unlearned: set[int] = set()
        """Pairs of which more was told than other pairs know."""

        self._num_told, self._num_news = 0, 0
        self._beliefs: list[Belief] = []
        self._stale: set[int] = set()
        """Pairs whose entry in the queue is from before the latest news."""

        self._queue: list[tuple[float, int, int, Ask]] = []
        self._versions_Q = np.zeros(space.num_pairs, dtype=np.int64)
        """Of each pair's latest entry in the queue; older ones are void."""

    def ask(self, num: int) -> Sequence[Ask]:
        """Return the measurements that are worth most for their cost, supposing that those before them are made."""
        if not self._beliefs or self._num_news > _NEWS_SHARE * self._num_told:
            self._believe()
        for pair in sorted(self._stale):
            self._enqueue(pair)
        self._stale.clear()
        asks: list[Ask] = []
        while len(asks) < num and (ask := self._next()):
            asks.append(ask)
            self._asked_epochs_QS[ask.pair, ask.setting] = ask.num_epochs
            self._account.charge(ask)
            self._beliefs[ask.pair].suppose(ask.setting, noise_variance=self._noise(ask.setting, ask.num_epochs))
            self._enqueue(ask.pair)
        return asks

    def tell(self, measurement: Measurement) -> None:
        """Take in a measurement; of several of one trial, the one after the most epochs counts."""
        pair, setting, num_epochs = measurement.ask
        points = float(compress(np.array(measurement.gain))) - self._offsets_SE[setting, num_epochs - 1]
        of_pair = self._told.setdefault(pair, {})
        if of_pair.get(setting, (0, 0.0))[0] < num_epochs:
            of_pair[setting] = (num_epochs, points)
        if self._asked_epochs_QS[pair, setting] < num_epochs:
            self._asked_epochs_QS[pair, setting] = num_epochs
            self._account.charge(measurement.ask)
        self._num_told += 1
        self._num_news += 1
        self._unlearned.add(pair)
        if self._beliefs:
            self._beliefs[pair].tell(setting, points, noise_variance=self._noise(setting, num_epochs))
            self._suppose_asked(pair)
            self._stale.add(pair)

    def choices(self) -> IntArray:
        """Return the setting with the best mean of each pair (Q,), ``NO_SETTING`` where no mean is above 0."""
        self._learn_news()
        means_QS = np.stack([self._posterior.of_pair(pair)[0] for pair in range(self._space.num_pairs)])
        return np.where(means_QS.max(1) > 0, means_QS.argmax(1), NO_SETTING)

    def predicted(self) -> Prediction:
        """Return what the choices are expected to bring."""
        choices_Q = self.choices()
        gains_Q, sds_Q = np.zeros(len(choices_Q)), np.zeros(len(choices_Q))
        for pair in np.flatnonzero(choices_Q != NO_SETTING).tolist():
            mean_S, covariance_SS = self._posterior.of_pair(pair)
            setting = choices_Q[pair]
            gains_Q[pair] = mean_S[setting]
            sds_Q[pair] = np.sqrt(covariance_SS[setting, setting])
        # Chosen gains are above 0, where points are not compressed.
        return Prediction(expand(gains_Q), expand(sds_Q))

    def _learn(self, earlier: Earlier, basis: PairBasis) -> None:
        theirs = {setting: place for place, setting in enumerate(earlier.space.settings)}
        shared = [place for place, setting in enumerate(self._space.settings) if setting in theirs]
        gains_QS = earlier.gains_QS[:, [theirs[self._space.settings[place]] for place in shared]]
        basis_QA = basis.values(earlier.space)
        for pair in range(0, len(gains_QS), -(-len(gains_QS) // _MAX_EARLIER_PAIRS)):
            known_S = ~np.isnan(gains_QS[pair])
            if known_S.any():
                observed = Observed(
                    settings_N=np.array(shared)[known_S],
                    points_N=compress(gains_QS[pair, known_S]),
                    extra_sd_N=np.zeros(int(known_S.sum())),
                )
                self._posterior.learn(basis_QA[pair], observed)

    def _learn_news(self) -> None:
        if self._unlearned:
            self._posterior.update({pair: self._observed(pair) for pair in sorted(self._unlearned)})
            self._unlearned.clear()

    def _observed(self, pair: int) -> Observed:
        settings = sorted(self._told[pair])
        num_epochs, points = zip(*(self._told[pair][setting] for setting in settings), strict=True)
        return Observed(
            settings_N=np.array(settings),
            points_N=np.array(points),
            extra_sd_N=np.sqrt(self._variances_SE[settings, np.array(num_epochs) - 1]),
        )

    def _believe(self) -> None:
        """Work out for all pairs what was told of any."""
        self._learn_news()
        self._num_news = 0
        self._beliefs = [Belief(*self._posterior.of_pair(pair)) for pair in range(self._space.num_pairs)]
        for pair in np.flatnonzero(self._asked_epochs_QS.any(axis=1)).tolist():
            self._suppose_asked(pair)
        self._queue.clear()
        self._stale = set(range(self._space.num_pairs))

    def _suppose_asked(self, pair: int) -> None:
        """What was asked for and not told yet will be known: it is not worth asking again."""
        told = self._told.get(pair, {})
        for setting in np.flatnonzero(self._asked_epochs_QS[pair]).tolist():
            num_epochs = int(self._asked_epochs_QS[pair, setting])
            if told.get(setting, (0, 0.0))[0] < num_epochs:
                self._beliefs[pair].suppose(setting, noise_variance=self._noise(setting, num_epochs))

    def _noise(self, setting: int, num_epochs: int) -> float:
        return self._posterior.noise_variance + float(self._variances_SE[setting, num_epochs - 1])

    def _next(self) -> Ask | None:
        while self._first:
            ask = self._first.popleft()
            if self._asked_epochs_QS[ask.pair, ask.setting] < ask.num_epochs:
                return ask
        while self._queue:
            _, _, version, ask = heappop(self._queue)
            if version == self._versions_Q[ask.pair]:
                return ask
        return None

    def _enqueue(self, pair: int) -> None:
        """Put the best measurement of a pair into the queue, if any is worth something."""
        self._versions_Q[pair] += 1
        asked_S = self._asked_epochs_QS[pair]
        settings_C, rungs_C = (grid.ravel() for grid in np.meshgrid(np.arange(len(asked_S)), self._rungs))
        is_new_C = rungs_C > asked_S[settings_C]
        settings_C, rungs_C = settings_C[is_new_C], rungs_C[is_new_C]
        if not settings_C.size:
            return
        belief = self._beliefs[pair]
        raised_C = knowledge_gradients(
            belief.mean_S,
            belief.supposed_SS,
            settings_C=settings_C,
            noise_variance_C=self._posterior.noise_variance + self._variances_SE[settings_C, rungs_C - 1],
        )
        worth_C = raised_C / self._account.prices(pair, settings_C, rungs_C)
        best = int(worth_C.argmax())
        if raised_C[best] > _WORTHLESS_POINTS:
            ask = Ask(pair, int(settings_C[best]), int(rungs_C[best]))
            heappush(self._queue, (-float(worth_C[best]), pair, int(self._versions_Q[pair]), ask))


def build(space: Space, *, seed: int, earlier: Sequence[Earlier]) -> PairTuner:
    """Return the tuner; it draws nothing, so the seed is of no use to it."""
    del seed
    return PairTuner(space, earlier=earlier)
