"""The tuner: it suggests the trial that is expected to improve the choice of a pair most, relative to its cost.

It is Bayesian optimisation with one surrogate for all pairs (``posterior``), the knowledge gradient per cost as
acquisition function (``acquisition``), and a probability of divergence (``feasibility``). Scoring all candidates after
every observation would take too long. Therefore the best candidate of each pair is kept in a priority queue, and scored
again only when it reaches the front.

Shape suffixes: Q = pairs, S = settings, E = epochs, R = rungs, C = candidates: rungs x settings, P = pairs that are
scored together.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.acquisition import PairBelief, knowledge_gradients
from peerkd.tuning.experience import Experience, shipped_for
from peerkd.tuning.feasibility import Feasibility
from peerkd.tuning.initial_design import initial_design
from peerkd.tuning.observation_model import build_observation_model
from peerkd.tuning.pair_posterior import PairPosterior
from peerkd.tuning.posterior import PairObservations, PairPrior, Posterior
from peerkd.tuning.protocol import EarlierSweep, Observation, Suggestion
from peerkd.tuning.settings_prior import compress, expand
from peerkd.tuning.space import NO_SETTING, Space

_NEW_FRACTION: Final = 0.1
"""The posterior of all pairs is updated when this fraction of all observations is newer than the last update."""

_NEW_FRACTION_FOR_ALL: Final = 0.5
"""A full pass is made when the number of observations has grown by this fraction since the last full pass.

A full pass scores all pairs again, and not only the most promising ones."""

_MIN_NEW: Final = 3
"""The minimum number of new observations for an update of the posterior of all pairs."""

_MIN_NEW_FOR_ALL: Final = 15
"""The minimum number of new observations for a full pass."""

_MIN_NEW_PER_PAIR: Final = 1 / 6
"""The minimum number of new observations for a full pass, divided by the number of pairs.

A full pass takes time in proportion to the number of pairs."""

_MAX_EARLIER_PAIRS: Final = 200
"""The maximum number of pairs of an earlier sweep from which the tuner learns."""

_NUM_PAIRS_AT_ONCE: Final = 16
"""The number of pairs that are scored together."""

_WORTHLESS_POINTS: Final = 1e-4
"""The acquisition value, in compressed points, up to which a candidate is not suggested."""


class PairTuner:
    """A ``Tuner`` in which observations of one pair inform all pairs.

    It is deterministic: the same calls give the same results.
    """

    def __init__(
        self, space: Space, *, earlier_sweeps: Sequence[EarlierSweep] = (), experience: Experience | None = None
    ) -> None:
        """Create a tuner without observations of this space.

        Args:
            space: The space to tune.
            earlier_sweeps: Earlier sweeps, from which the tuner learns. Only their trials under settings of the space
                are used.
            experience: The experience, which is used if it covers the space. None means to use none.
        """
        self._space = space
        self._model = build_observation_model(space, earlier_sweeps=earlier_sweeps, experience=experience)
        basis = self._model.basis
        self._posterior = Posterior(
            self._model.prior, basis.values(space), self._model.expected(space), self._model.spread(space)
        )
        for each in earlier_sweeps:
            self._learn(each)
        if earlier_sweeps:
            self._posterior.begin()
        starts_from_nothing = not earlier_sweeps and self._model.experience is None
        num_settings = len(space.settings)
        self._initial = deque(initial_design(space, basis.spread(space)) if starts_from_nothing else ())
        self._initial_asked: set[Suggestion] = set()
        """The suggestions of the initial design that ``ask`` has returned."""

        self._rungs_C = np.repeat(self._model.rungs_R, num_settings)
        self._settings_C = np.tile(np.arange(num_settings), len(self._model.rungs_R))
        self._places_C = _as_slice(self._model.places_SE[self._settings_C, self._rungs_C - 1])
        self._variances_C = self._model.variances_SE[self._settings_C, self._rungs_C - 1]
        self._costs = CostLedger(space)
        self._feasibility = Feasibility(space)
        self._asked_epochs_QS = np.zeros((space.num_pairs, num_settings), dtype=np.int64)
        self._observed: dict[int, dict[int, tuple[int, float, float]]] = {}
        """The latest observation of each target, by pair and index of the target.

        An observation has a number of epochs, a value in compressed points, and a variance in addition to noise."""

        self._pending: dict[int, dict[int, int]] = {}
        """The number of epochs of the latest suggestion that has not been observed yet, by pair and setting."""

        self._unlearned: set[int] = set()
        """The pairs with observations that the posterior does not include yet."""

        self._means_QS: FloatArray | None = None
        """The result of ``_means``, which is kept until an observation changes it."""

        self._num_observed, self._num_new = 0, 0
        """The number of all observations, and the number of observations since the posterior was updated."""

        self._num_at_full_pass = -1
        """The number of observations at the latest full pass; -1 before the first one."""

        self._beliefs: dict[int, PairBelief] = {}
        """The beliefs about the pairs with suggestions or observations since the posterior was updated."""

        self._stale: set[int] = set()
        """The pairs with observations of their own since they were scored. The next ``ask`` scores them again."""

        self._queue: list[tuple[float, int, int, Suggestion]] = []
        """A heap with the best candidate of each pair: its negative value, the pair, a version and the candidate."""

        self._versions_Q = np.zeros(space.num_pairs, dtype=np.int64)
        """The version of each pair's valid entry in the queue. Entries with older versions are ignored."""

        self._is_outdated_Q = np.zeros(space.num_pairs, dtype=bool)
        """Whether other pairs have been observed since each pair was scored.

        Such a pair is scored again when its entry reaches the front of the queue."""

    def ask(self, num: int) -> Sequence[Suggestion]:
        """Return the suggestions of the highest value per cost.

        When a suggestion is chosen, its value is computed as if all earlier suggestions had already been observed.
        """
        if self._num_at_full_pass < 0 or self._num_new >= max(_NEW_FRACTION * self._num_observed, _MIN_NEW):
            self._update()
        self._score(sorted(self._stale))
        self._stale.clear()
        suggestions: list[Suggestion] = []
        while len(suggestions) < num and (suggestion := self._next()):
            suggestions.append(suggestion)
            self._asked_epochs_QS[suggestion.pair, suggestion.setting] = suggestion.num_epochs
            self._costs.charge(suggestion)
            self._pending.setdefault(suggestion.pair, {})[suggestion.setting] = suggestion.num_epochs
            if suggestion.pair in self._beliefs:
                self._add_pending(self._beliefs[suggestion.pair], suggestion.setting, suggestion.num_epochs)
        return suggestions

    def tell(self, observation: Observation) -> None:
        """Learn from an observation. Of several observations of a target, only the one after the most epochs counts."""
        pair, setting, num_epochs = observation.suggestion
        self._feasibility.add(pair, setting, is_finite=observation.is_finite)
        if not observation.is_finite:
            self._tell_diverged(observation.suggestion)
            return
        place = int(self._model.places_SE[setting, num_epochs - 1])
        variance = float(self._model.variances_SE[setting, num_epochs - 1])
        points = float(compress(np.array(observation.gain)) - self._model.offsets_SE[setting, num_epochs - 1])
        of_pair = self._observed.setdefault(pair, {})
        if place not in of_pair or of_pair[place][0] < num_epochs:
            of_pair[place] = (num_epochs, points, variance)
        self._count(observation.suggestion)
        self._unlearned.add(pair)
        if self._num_at_full_pass >= 0:
            if pair not in self._beliefs:
                self._beliefs[pair] = self._new_belief(pair)
            self._beliefs[pair].observe(place, points, noise_variance=self._posterior.noise_variance + variance)
            self._add_all_pending(pair, self._beliefs[pair])
            self._stale.add(pair)

    def _tell_diverged(self, suggestion: Suggestion) -> None:
        """Record that a trial has diverged and ended. Similar settings become less attractive on all pairs."""
        self._count(suggestion)
        self._asked_epochs_QS[suggestion.pair, suggestion.setting] = self._space.num_epochs
        self._pending.get(suggestion.pair, {}).pop(suggestion.setting, None)
        # The belief includes a pending observation that will never arrive.
        self._beliefs.pop(suggestion.pair, None)
        self._stale.add(suggestion.pair)
        self._is_outdated_Q[:] = True
        self._means_QS = None
        if suggestion in self._initial_asked:
            # The initial design still needs a trial on this transfer set, so a substitute is suggested.
            self._initial.append(suggestion)

    def _count(self, suggestion: Suggestion) -> None:
        """Count an observation, and add the cost of its suggestion if that has not been done.

        The cost is missing if this tuner did not make the suggestion, for example after a restart.
        """
        if self._asked_epochs_QS[suggestion.pair, suggestion.setting] < suggestion.num_epochs:
            self._asked_epochs_QS[suggestion.pair, suggestion.setting] = suggestion.num_epochs
            self._costs.charge(suggestion)
        if self._pending.get(suggestion.pair, {}).get(suggestion.setting, 0) <= suggestion.num_epochs:
            self._pending.get(suggestion.pair, {}).pop(suggestion.setting, None)
        self._num_observed += 1
        self._num_new += 1

    def choices(self) -> IntArray:
        """Return the index of the setting with the highest posterior mean gain of each pair, of shape (Q,).

        The value is ``NO_SETTING`` for a pair without a mean gain above 0.
        """
        means_QS = self._means()
        return np.where(means_QS.max(1) > 0, means_QS.argmax(1), NO_SETTING)

    def predicted(self) -> FloatArray:
        """Return the expected gain of each choice as a fraction, of shape (Q,); 0 where the student stays unchanged."""
        # The mean of a choice is above 0, where points are not compressed, so it is that of the gain.
        return expand(np.maximum(self._means().max(1), 0))

    def deviations(self) -> FloatArray:
        """Return the standard deviation of the gain of each choice as a fraction, of shape (Q,)."""
        choices_Q = self.choices()
        variances_Q = np.zeros(len(choices_Q))
        chosen = np.flatnonzero(choices_Q != NO_SETTING).tolist()
        for pair, posterior in zip(chosen, self._posterior.of_pairs(chosen), strict=True):
            variances_Q[pair] = posterior.variance_S[choices_Q[pair]]
        return expand(np.sqrt(variances_Q))

    def _learn(self, earlier: EarlierSweep) -> None:
        """Learn from the whole trials of an earlier sweep, for at most ``_MAX_EARLIER_PAIRS`` pairs."""
        model = self._model
        theirs = {setting: place for place, setting in enumerate(earlier.space.settings)}
        shared = [place for place, setting in enumerate(self._space.settings) if setting in theirs]
        gains_QS = earlier.gains_QS[:, [theirs[self._space.settings[place]] for place in shared]]
        basis_QA, expected_QC = model.basis.values(earlier.space), model.expected(earlier.space)
        spread_Q = model.spread(earlier.space)
        for pair in range(0, len(gains_QS), -(-len(gains_QS) // _MAX_EARLIER_PAIRS)):
            known_S = ~np.isnan(gains_QS[pair])
            if known_S.any():
                observed = PairObservations(
                    targets_N=np.array(shared)[known_S],
                    points_N=compress(gains_QS[pair, known_S]),
                    extra_sd_N=np.zeros(int(known_S.sum())),
                )
                known = PairPrior(
                    basis_A=basis_QA[pair],
                    expected_S=model.prior.mean_S if expected_QC is None else expected_QC[pair],
                    spread=1.0 if spread_Q is None else float(spread_Q[pair]),
                )
                self._posterior.learn(known, observed)

    def _means(self) -> FloatArray:
        """Return the posterior mean gain of each pair under each setting in compressed points, of shape (Q, S)."""
        self._update_posterior()
        if self._means_QS is None:
            means_QS = self._posterior.means()[:, : len(self._space.settings)]
            self._means_QS = self._feasibility.without_ruled_out(means_QS)
        return self._means_QS

    def _update_posterior(self) -> None:
        """Update the posterior with the observations that it does not include yet."""
        if self._unlearned:
            self._posterior.update({pair: self._observations(pair) for pair in sorted(self._unlearned)})
            self._unlearned.clear()
            self._means_QS = None

    def _observations(self, pair: int) -> PairObservations:
        places = sorted(self._observed[pair])
        _, points, variances = zip(*(self._observed[pair][place] for place in places), strict=True)
        return PairObservations(targets_N=np.array(places), points_N=np.array(points), extra_sd_N=np.sqrt(variances))

    def _update(self) -> None:
        """Update the posterior, and mark all pairs to be scored again.

        If there are enough new observations for a full pass, the next ``ask`` scores all pairs at once. Otherwise each
        pair is scored when its candidate reaches the front of the queue.
        """
        self._update_posterior()
        self._num_new = 0
        self._beliefs.clear()
        num_since_full_pass = self._num_observed - self._num_at_full_pass
        min_new = max(
            _NEW_FRACTION_FOR_ALL * self._num_at_full_pass,
            _MIN_NEW_FOR_ALL,
            _MIN_NEW_PER_PAIR * self._space.num_pairs,
        )
        if self._num_at_full_pass < 0 or num_since_full_pass >= min_new:
            self._num_at_full_pass = self._num_observed
            self._queue.clear()
            self._stale = set(range(self._space.num_pairs))
        else:
            self._is_outdated_Q[:] = True

    def _new_belief(self, pair: int) -> PairBelief:
        return PairBelief(next(self._posterior.of_pairs([pair])))

    def _add_all_pending(self, pair: int, belief: PairBelief) -> None:
        """Add the pending suggestions of a pair to a belief, so that the tuner suggests no trial twice."""
        for setting, num_epochs in self._pending.get(pair, {}).items():
            self._add_pending(belief, setting, num_epochs)

    def _add_pending(self, belief: PairBelief, setting: int, num_epochs: int) -> None:
        variance = float(self._model.variances_SE[setting, num_epochs - 1])
        place = int(self._model.places_SE[setting, num_epochs - 1])
        belief.add_pending(place, noise_variance=self._posterior.noise_variance + variance)

    def _next(self) -> Suggestion | None:
        """Return the next suggestion of the initial design or, after its end, the best candidate of the queue.

        None is returned if no candidate is valuable.
        """
        while self._initial:
            suggestion = self._initial.popleft()
            if self._feasibility.is_ruled_out([suggestion.pair])[0, suggestion.setting]:
                substitute = self._feasibility.substitute(suggestion.pair, suggestion.setting)
                if substitute is None:
                    continue
                suggestion = suggestion._replace(setting=substitute)
            if self._asked_epochs_QS[suggestion.pair, suggestion.setting] < suggestion.num_epochs:
                self._is_outdated_Q[suggestion.pair] = True
                self._initial_asked.add(suggestion)
                return suggestion
        while self._queue:
            _, _, version, suggestion = entry = heappop(self._queue)
            if version != self._versions_Q[suggestion.pair]:
                continue
            if not self._is_outdated_Q[suggestion.pair]:
                # The pair's next candidate hardly has a higher value. It is computed when this entry comes up again.
                self._is_outdated_Q[suggestion.pair] = True
                heappush(self._queue, entry)
                return suggestion
            self._score([suggestion.pair])
        return None

    def _score(self, pairs: Sequence[int]) -> None:
        """Score the candidates of some pairs, and put the best candidate of each pair into the queue.

        A pair without a valuable candidate gets no entry.
        """
        posteriors, raised = self._with_pending(pairs), []
        noise_variance_C = self._posterior.noise_variance + self._variances_C
        while some := list(islice(posteriors, _NUM_PAIRS_AT_ONCE)):
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

    def _with_pending(self, pairs: Sequence[int]) -> Iterator[PairPosterior]:
        """Yield the posterior of each given pair, as if the pending suggestions of the pair had been observed.

        Only the covariance takes pending suggestions into account. The mean changes only for settings that are ruled
        out because they diverge: it becomes far lower than any gain.
        """
        for pair in pairs:
            # A pair that is scored alone will soon have a suggestion, so its belief is kept. Not all fit into memory.
            if pair not in self._beliefs and (len(pairs) == 1 or self._pending.get(pair)):
                self._beliefs[pair] = self._new_belief(pair)
                self._add_all_pending(pair, self._beliefs[pair])
        others = self._posterior.of_pairs([pair for pair in pairs if pair not in self._beliefs])
        for pair in pairs:
            posterior = self._beliefs[pair].with_pending if pair in self._beliefs else next(others)
            yield self._feasibility.restricted(posterior, pair)

    def _enqueue(self, pairs: Sequence[int], raised_PC: FloatArray) -> None:
        """Put, for each pair, the candidate with the highest knowledge gradient per cost into the queue."""
        rungs_R, pairs_P = self._model.rungs_R, np.asarray(pairs)
        self._versions_Q[pairs_P] += 1
        self._is_outdated_Q[pairs_P] = False
        is_new_PC = (rungs_R[:, None] > self._asked_epochs_QS[pairs_P][:, None]).reshape(raised_PC.shape)
        prices_PC = self._costs.prices(pairs_P, rungs_R).reshape(raised_PC.shape)
        raised_PC = self._feasibility.weighted(raised_PC, pairs, self._settings_C)
        value_per_cost_PC = np.divide(raised_PC, prices_PC, out=np.zeros_like(raised_PC), where=is_new_PC)
        for place, best in enumerate(value_per_cost_PC.argmax(axis=1).tolist()):
            if is_new_PC[place, best] and raised_PC[place, best] > _WORTHLESS_POINTS:
                pair = pairs[place]
                suggestion = Suggestion(pair, int(self._settings_C[best]), int(self._rungs_C[best]))
                heappush(
                    self._queue, (-float(value_per_cost_PC[place, best]), pair, int(self._versions_Q[pair]), suggestion)
                )


def _as_slice(places: IntArray) -> IntArray | slice:
    """Return the same indices, but as a slice if they are 0, 1, 2 and so on: numpy then indexes without a copy."""
    return slice(len(places)) if np.array_equal(places, np.arange(len(places))) else places


def build(space: Space, *, has_experience: bool) -> PairTuner:
    """Return the tuner of a study.

    Args:
        space: The space to tune.
        has_experience: Whether the tuner uses the shipped experience, provided that it covers the space.
    """
    return PairTuner(space, experience=shipped_for(space) if has_experience else None)
