"""The probability that a setting makes a training diverge, estimated from the trials that have diverged so far.

A training that diverged has no gain, so the posterior does not receive it as an observation: any number in place of its
gain would pull down the means of similar settings and widen the scale of all gains. Such trainings are counted here
instead. The probability that a setting diverges is the weighted fraction of diverged trials among the trials of all
pairs. The weight of a trial is the similarity between its setting and the setting in question. The acquisition function
of a candidate is multiplied by the probability that the trial stays finite (Gelbart, Snoek and Adams 2014, "Bayesian
Optimization with Unknown Constraints", arXiv:1403.5607).

Shape suffixes: Q = ordered pairs, S = settings, P = some of the pairs, C = candidate observations.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.tuning.pair_posterior import PairPosterior
from peerkd.tuning.settings_prior import similarity
from peerkd.tuning.space import Space

_PRIOR_NUM_FINITE: Final = 1.0
"""The number of finite trials that are assumed in addition to the real ones. They make the first estimates small."""

_MAX_CHANCE: Final = 0.5
"""The probability of divergence above which a setting is ruled out for the pairs that have not tried it."""

_WORST_POINTS: Final = -1e3
"""The value that replaces the mean gain of a setting that is ruled out, in compressed points. It is so low that the
setting is never the best."""


class Feasibility:
    """Counts the trials that diverged and those that did not, and estimates probabilities of divergence from them."""

    def __init__(self, space: Space) -> None:
        self._settings, self._similarity_SS = space.settings, similarity(space.settings)
        shape = space.num_pairs, len(space.settings)
        self._has_diverged_QS, self._is_known_QS = (np.zeros(shape, dtype=np.bool_) for _ in range(2))
        self._chance_S = np.zeros(len(space.settings))

    @property
    def any_diverged(self) -> bool:
        """Whether any trial has diverged.

        As long as no trial has diverged, no setting is ruled out, and methods that transform gains return them
        unchanged.
        """
        return bool(self._has_diverged_QS.any())

    def chances(self) -> FloatArray:
        """Return the probability that each setting diverges on a pair that has not tried it, of shape (S,)."""
        return self._chance_S

    def add(self, pair: int, setting: int, *, is_finite: bool) -> None:
        """Count a trial as finite or diverged after its epochs so far. A trial counted as finite may diverge later."""
        self._is_known_QS[pair, setting] = True
        self._has_diverged_QS[pair, setting] |= not is_finite
        if self.any_diverged:
            num_diverged_S = self._similarity_SS @ self._has_diverged_QS.sum(axis=0)
            num_known_S = self._similarity_SS @ self._is_known_QS.sum(axis=0)
            self._chance_S = num_diverged_S / (num_known_S + _PRIOR_NUM_FINITE)

    def is_ruled_out(self, pairs: Sequence[int] | IntArray | slice = slice(None)) -> BoolArray:
        """Return a mask of the settings that pairs must not choose, of shape (P, S).

        A pair must not choose a setting that has diverged on this pair. Nor may it choose a setting that it has not
        tried and that is likely to diverge.
        """
        is_likely_S = self._chance_S > _MAX_CHANCE
        is_ruled_out_PS: BoolArray = self._has_diverged_QS[pairs] | (~self._is_known_QS[pairs] & is_likely_S)
        return is_ruled_out_PS

    def substitute(self, pair: int, setting: int) -> int | None:
        """Return a substitute for a setting: the untried setting on its transfer set that is least likely to diverge.

        Of equally likely settings, one with the same loss, target, temperature and alpha is preferred, and then the
        first. None is returned if all settings on the transfer set have been tried or are ruled out.
        """
        wanted = self._settings[setting]
        is_open_S = ~self._is_known_QS[pair] & ~self.is_ruled_out([pair])[0]
        places = [
            place
            for place in np.flatnonzero(is_open_S).tolist()
            if self._settings[place].transfer_set == wanted.transfer_set
        ]

        def rank(place: int) -> tuple[float, bool, int]:
            other = self._settings[place]
            is_different = other._replace(learning_rate=None) != wanted._replace(learning_rate=None)
            return float(self._chance_S[place]), is_different, place

        return min(places, key=rank) if places else None

    def without_ruled_out(self, means_QS: FloatArray) -> FloatArray:
        """Return the mean gains of all pairs, with a very low value for each setting that is ruled out."""
        return np.where(self.is_ruled_out(), _WORST_POINTS, means_QS) if self.any_diverged else means_QS

    def restricted(self, posterior: PairPosterior, pair: int) -> PairPosterior:
        """Return the posterior of a pair, with a very low mean for each setting that is ruled out."""
        if not self.any_diverged:
            return posterior
        is_ruled_out_S = self.is_ruled_out([pair])[0]
        mean_S = posterior.mean_S.copy()
        mean_S[: len(is_ruled_out_S)][is_ruled_out_S] = _WORST_POINTS
        return replace(posterior, mean_S=mean_S)

    def weighted(self, raised_PC: FloatArray, pairs: Sequence[int], settings_C: IntArray) -> FloatArray:
        """Multiply acquisition values of candidates by the probability that the trial stays finite, of shape (P, C).

        The value of a candidate that is ruled out becomes 0.
        """
        if not self.any_diverged:
            return raised_PC
        is_ruled_out_PC = self.is_ruled_out(pairs)[:, settings_C]
        # A trial that has started and is not ruled out has been finite so far.
        chance_PC = np.where(self._is_known_QS[pairs][:, settings_C], 0.0, self._chance_S[settings_C])
        return np.where(is_ruled_out_PC, 0.0, raised_PC * (1 - chance_PC))
