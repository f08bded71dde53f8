"""The tuner: it measures where that is expected to raise the gain of some pair's choice the most for its cost.

Shape suffixes: Q = pairs, S = settings, E = epochs, C = measurements that could be made, P = pairs that are looked at.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.accounting import Account
from peerkd.tuning.experience import Experience, shipped
from peerkd.tuning.feasibility import Feasibility
from peerkd.tuning.first_asks import first_asks
from peerkd.tuning.information import Belief, knowledge_gradients
from peerkd.tuning.marginals import Marginals
from peerkd.tuning.outlook import Outlook, outlook
from peerkd.tuning.posterior import Foreknown, Observed, Posterior
from peerkd.tuning.protocol import Ask, Earlier, Measurement
from peerkd.tuning.settings_prior import compress, expand
from peerkd.tuning.space import NO_SETTING, Space

_NEWS_SHARE: Final = 0.1
"""Of all measurements: so many new ones before what they say of other pairs is worked out."""

_NEWS_SHARE_FOR_ALL: Final = 0.5
"""Likewise, before what every pair may be worth is worked out anew, not only that of the most promising ones."""

_MIN_NEWS: Final = 3
_MIN_NEWS_FOR_ALL: Final = 15
_MIN_NEWS_OF_PAIRS: Final = 1 / 6
"""Of all pairs: so many measurements at least, since what every pair may be worth is work for each of them."""

_MAX_EARLIER_PAIRS: Final = 200
"""Of each earlier experiment."""

_NUM_PAIRS_AT_ONCE: Final = 16
"""That are looked at."""

_WORTHLESS_POINTS: Final = 1e-4


class PairTuner:
    """A ``Tuner`` whose pairs share what they learn. Deterministic: the same tells give the same asks."""

    def __init__(self, space: Space, *, earlier: Sequence[Earlier] = (), experience: Experience | None = None) -> None:
        """Begin from experience or from nothing, and learn from the tables of earlier experiments.

        Args:
            space: To tune.
            earlier: As far as their settings are the same.
            experience: As far as it covers the space. None: from nothing.
        """
        self._space = space
        self._outlook = outlook(space, earlier=earlier, experience=experience)
        basis = self._outlook.basis
        self._posterior = Posterior(
            self._outlook.prior, basis.values(space), self._outlook.expected(space), self._outlook.spread(space)
        )
        for each in earlier:
            self._learn(each, self._outlook)
        if earlier:
            self._posterior.begin()
        begins_anew = not earlier and self._outlook.experience is None
        num_settings = len(space.settings)
        self._first = deque(first_asks(space, basis.spread(space)) if begins_anew else ())
        self._first_asked: set[Ask] = set()
        self._rungs_C = np.repeat(self._outlook.rungs_R, num_settings)
        self._settings_C = np.tile(np.arange(num_settings), len(self._outlook.rungs_R))
        self._places_C = _as_slice(self._outlook.places_SE[self._settings_C, self._rungs_C - 1])
        self._variances_C = self._outlook.variances_SE[self._settings_C, self._rungs_C - 1]
        self._account = Account(space)
        self._feasibility = Feasibility(space)
        self._asked_epochs_QS = np.zeros((space.num_pairs, num_settings), dtype=np.int64)
        self._told: dict[int, dict[int, tuple[int, float, float]]] = {}
        """By pair and place in the prior: the epochs that were done last, the gain after them in compressed points,
        and how far that may be off by more than noise."""

        self._under_way: dict[int, dict[int, int]] = {}
        """By pair and setting: the epochs that were asked for last and are not told yet."""

        self._unlearned: set[int] = set()
        """Pairs of which more was told than other pairs know."""

        self._means_QS: FloatArray | None = None
        """What ``_means`` returned, until there is news."""

        self._num_told, self._num_news, self._num_told_at_last_look = 0, 0, -1
        self._beliefs: dict[int, Belief] = {}
        """Of the pairs that something was asked of since what was told of any was worked out."""

        self._stale: set[int] = set()
        """Pairs whose entry in the queue is from before the latest news of them."""

        self._queue: list[tuple[float, int, int, Ask]] = []
        self._versions_Q = np.zeros(space.num_pairs, dtype=np.int64)
        """Of each pair's latest entry in the queue; older ones are void."""

        self._is_outdated_Q = np.zeros(space.num_pairs, dtype=bool)
        """Whether it is from before the latest news of others."""

    def ask(self, num: int) -> Sequence[Ask]:
        """Return the measurements that are worth most for their cost, supposing that those before them are made."""
        if self._num_told_at_last_look < 0 or self._num_news >= max(_NEWS_SHARE * self._num_told, _MIN_NEWS):
            self._believe()
        self._look(sorted(self._stale))
        self._stale.clear()
        asks: list[Ask] = []
        while len(asks) < num and (ask := self._next()):
            asks.append(ask)
            self._asked_epochs_QS[ask.pair, ask.setting] = ask.num_epochs
            self._account.charge(ask)
            self._under_way.setdefault(ask.pair, {})[ask.setting] = ask.num_epochs
            if ask.pair in self._beliefs:
                self._suppose(self._beliefs[ask.pair], ask.setting, ask.num_epochs)
        return asks

    def tell(self, measurement: Measurement) -> None:
        """Take in a measurement; of several of one trial that are about the same, the one after most epochs counts."""
        pair, setting, num_epochs = measurement.ask
        self._feasibility.tell(pair, setting, is_finite=measurement.is_finite)
        if not measurement.is_finite:
            self._tell_diverged(measurement.ask)
            return
        place = int(self._outlook.places_SE[setting, num_epochs - 1])
        variance = float(self._outlook.variances_SE[setting, num_epochs - 1])
        points = float(compress(np.array(measurement.gain)) - self._outlook.offsets_SE[setting, num_epochs - 1])
        of_pair = self._told.setdefault(pair, {})
        if place not in of_pair or of_pair[place][0] < num_epochs:
            of_pair[place] = (num_epochs, points, variance)
        self._count(measurement.ask)
        self._unlearned.add(pair)
        if self._num_told_at_last_look >= 0:
            if pair not in self._beliefs:
                self._beliefs[pair] = self._believed(pair)
            self._beliefs[pair].tell(place, points, noise_variance=self._posterior.noise_variance + variance)
            self._suppose_asked(pair, self._beliefs[pair])
            self._stale.add(pair)

    def _tell_diverged(self, ask: Ask) -> None:
        """Take in that a trial diverged: it is over, and similar settings are worth less on all pairs."""
        self._count(ask)
        self._asked_epochs_QS[ask.pair, ask.setting] = self._space.num_epochs
        self._under_way.get(ask.pair, {}).pop(ask.setting, None)
        # The beliefs supposed a measurement that will not come.
        self._beliefs.pop(ask.pair, None)
        self._stale.add(ask.pair)
        self._is_outdated_Q[:] = True
        self._means_QS = None
        if ask in self._first_asked:
            # What all pairs have in common still has to be measured on this set: a substitute is asked for.
            self._first.append(ask)

    def _count(self, ask: Ask) -> None:
        if self._asked_epochs_QS[ask.pair, ask.setting] < ask.num_epochs:
            self._asked_epochs_QS[ask.pair, ask.setting] = ask.num_epochs
            self._account.charge(ask)
        if self._under_way.get(ask.pair, {}).get(ask.setting, 0) <= ask.num_epochs:
            self._under_way.get(ask.pair, {}).pop(ask.setting, None)
        self._num_told += 1
        self._num_news += 1

    def choices(self) -> IntArray:
        """Return the setting with the best mean of each pair (Q,), ``NO_SETTING`` where no mean is above 0."""
        means_QS = self._means()
        return np.where(means_QS.max(1) > 0, means_QS.argmax(1), NO_SETTING)

    def predicted(self) -> FloatArray:
        """Return the gain (Q,) that each of the choices is expected to bring; 0 where a student is left as it is."""
        # Chosen gains are above 0, where points are not compressed.
        return expand(np.maximum(self._means().max(1), 0))

    def deviations(self) -> FloatArray:
        """Return the standard deviation (Q,) of each of ``predicted``."""
        choices_Q = self.choices()
        variances_Q = np.zeros(len(choices_Q))
        chosen = np.flatnonzero(choices_Q != NO_SETTING).tolist()
        for pair, marginals in zip(chosen, self._posterior.marginals(chosen), strict=True):
            variances_Q[pair] = marginals.variance_S[choices_Q[pair]]
        return expand(np.sqrt(variances_Q))

    def _learn(self, earlier: Earlier, outlook: Outlook) -> None:
        theirs = {setting: place for place, setting in enumerate(earlier.space.settings)}
        shared = [place for place, setting in enumerate(self._space.settings) if setting in theirs]
        gains_QS = earlier.gains_QS[:, [theirs[self._space.settings[place]] for place in shared]]
        basis_QA, expected_QC = outlook.basis.values(earlier.space), outlook.expected(earlier.space)
        spread_Q = outlook.spread(earlier.space)
        for pair in range(0, len(gains_QS), -(-len(gains_QS) // _MAX_EARLIER_PAIRS)):
            known_S = ~np.isnan(gains_QS[pair])
            if known_S.any():
                observed = Observed(
                    settings_N=np.array(shared)[known_S],
                    points_N=compress(gains_QS[pair, known_S]),
                    extra_sd_N=np.zeros(int(known_S.sum())),
                )
                known = Foreknown(
                    basis_A=basis_QA[pair],
                    expected_S=outlook.prior.mean_S if expected_QC is None else expected_QC[pair],
                    spread=1.0 if spread_Q is None else float(spread_Q[pair]),
                )
                self._posterior.learn(known, observed)

    def _means(self) -> FloatArray:
        """Return the mean (Q, S) of each pair's gain under each setting, in compressed points, by all that was told."""
        self._learn_news()
        if self._means_QS is None:
            means_QS = self._posterior.means()[:, : len(self._space.settings)]
            self._means_QS = self._feasibility.without_ruled_out(means_QS)
        return self._means_QS

    def _learn_news(self) -> None:
        if self._unlearned:
            self._posterior.update({pair: self._observed(pair) for pair in sorted(self._unlearned)})
            self._unlearned.clear()
            self._means_QS = None

    def _observed(self, pair: int) -> Observed:
        places = sorted(self._told[pair])
        _, points, variances = zip(*(self._told[pair][place] for place in places), strict=True)
        return Observed(settings_N=np.array(places), points_N=np.array(points), extra_sd_N=np.sqrt(variances))

    def _believe(self) -> None:
        """Work out for all pairs what was told of any."""
        self._learn_news()
        self._num_news = 0
        self._beliefs.clear()
        num_since_all = self._num_told - self._num_told_at_last_look
        min_news = max(
            _NEWS_SHARE_FOR_ALL * self._num_told_at_last_look,
            _MIN_NEWS_FOR_ALL,
            _MIN_NEWS_OF_PAIRS * self._space.num_pairs,
        )
        if self._num_told_at_last_look < 0 or num_since_all >= min_news:
            self._num_told_at_last_look = self._num_told
            self._queue.clear()
            self._stale = set(range(self._space.num_pairs))
        else:
            self._is_outdated_Q[:] = True

    def _believed(self, pair: int) -> Belief:
        return Belief(next(self._posterior.marginals([pair])))

    def _suppose_asked(self, pair: int, belief: Belief) -> None:
        """What was asked for and not told yet will be known: it is not worth asking again."""
        for setting, num_epochs in self._under_way.get(pair, {}).items():
            self._suppose(belief, setting, num_epochs)

    def _is_under_way(self, pair: int) -> bool:
        return bool(self._under_way.get(pair))

    def _suppose(self, belief: Belief, setting: int, num_epochs: int) -> None:
        variance = float(self._outlook.variances_SE[setting, num_epochs - 1])
        place = int(self._outlook.places_SE[setting, num_epochs - 1])
        belief.suppose(place, noise_variance=self._posterior.noise_variance + variance)

    def _next(self) -> Ask | None:
        while self._first:
            ask = self._first.popleft()
            if self._feasibility.is_ruled_out([ask.pair])[0, ask.setting]:
                substitute = self._feasibility.substitute(ask.pair, ask.setting)
                if substitute is None:
                    continue
                ask = ask._replace(setting=substitute)
            if self._asked_epochs_QS[ask.pair, ask.setting] < ask.num_epochs:
                self._is_outdated_Q[ask.pair] = True
                self._first_asked.add(ask)
                return ask
        while self._queue:
            _, _, version, ask = entry = heappop(self._queue)
            if version != self._versions_Q[ask.pair]:
                continue
            if not self._is_outdated_Q[ask.pair]:
                # The pair's next measurement is hardly worth more; what it is worth is worked out when it comes up.
                self._is_outdated_Q[ask.pair] = True
                heappush(self._queue, entry)
                return ask
            self._look([ask.pair])
        return None

    def _look(self, pairs: Sequence[int]) -> None:
        """Put the best measurement of each of some pairs into the queue, if any is worth something."""
        supposed, raised = self._supposed(pairs), []
        noise_variance_C = self._posterior.noise_variance + self._variances_C
        while some := list(islice(supposed, _NUM_PAIRS_AT_ONCE)):
            raised.append(
                knowledge_gradients(
                    some,
                    self._places_C,
                    noise_variance_C=noise_variance_C,
                    num_choices=len(self._space.settings),
                )
            )
        if raised:
            self._enqueue(pairs, np.concatenate(raised))

    def _supposed(self, pairs: Sequence[int]) -> Iterator[Marginals]:
        """Yield what will be believed of each of some pairs when all that was asked for is told."""
        for pair in pairs:
            # What is looked at alone is asked for soon; of all pairs, not all can be kept.
            if pair not in self._beliefs and (len(pairs) == 1 or self._is_under_way(pair)):
                self._beliefs[pair] = self._believed(pair)
                self._suppose_asked(pair, self._beliefs[pair])
        others = self._posterior.marginals([pair for pair in pairs if pair not in self._beliefs])
        for pair in pairs:
            believed = self._beliefs[pair].supposed if pair in self._beliefs else next(others)
            yield self._feasibility.beliefs(believed, pair)

    def _enqueue(self, pairs: Sequence[int], raised_PC: FloatArray) -> None:
        rungs_R, pairs_P = self._outlook.rungs_R, np.asarray(pairs)
        self._versions_Q[pairs_P] += 1
        self._is_outdated_Q[pairs_P] = False
        is_new_PC = (rungs_R[:, None] > self._asked_epochs_QS[pairs_P][:, None]).reshape(raised_PC.shape)
        prices_PC = self._account.prices(pairs_P, rungs_R).reshape(raised_PC.shape)
        raised_PC = self._feasibility.worth(raised_PC, pairs, self._settings_C)
        worth_PC = np.divide(raised_PC, prices_PC, out=np.zeros_like(raised_PC), where=is_new_PC)
        for place, best in enumerate(worth_PC.argmax(axis=1).tolist()):
            if is_new_PC[place, best] and raised_PC[place, best] > _WORTHLESS_POINTS:
                ask = Ask(pairs[place], int(self._settings_C[best]), int(self._rungs_C[best]))
                heappush(self._queue, (-float(worth_PC[place, best]), ask.pair, int(self._versions_Q[ask.pair]), ask))


def _as_slice(places: IntArray) -> IntArray | slice:
    """Return the same places, as a slice if they are all from the first on: nothing is copied then."""
    return slice(len(places)) if np.array_equal(places, np.arange(len(places))) else places


def build(space: Space, *, has_experience: bool) -> PairTuner:
    """Return the tuner of a study.

    Args:
        space: To tune.
        has_experience: Whether the tuner starts from the experience that is shipped, where that covers the space.
    """
    return PairTuner(space, experience=shipped() if has_experience else None)
