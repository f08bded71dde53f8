"""Which settings may make a training diverge, by what has diverged so far.

A training that diverged has no gain, and the posterior is told nothing of it: a loss as large as any number that could
stand for it would pull down what its neighbours are believed to gain, and widen the scale of all beliefs. It counts
here instead. The chance that a setting diverges is a share of the trials of settings like it, on whatever pair; a
measurement is worth its gain times the chance that there will be one (Gelbart, Snoek and Adams 2014, arXiv:1403.5607).

Shape suffixes: Q = ordered pairs, S = settings, P = pairs that are looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from peerkd.results.arrays import BoolArray, FloatArray, IntArray
from peerkd.tuning.marginals import Marginals
from peerkd.tuning.settings_prior import likeness
from peerkd.tuning.space import Space

_FINITE_BEFOREHAND: Final = 1.0
"""Trials that are counted as finite before the first: until one diverges, none is expected to."""

_TOO_LIKELY: Final = 0.5

_WORST_POINTS: Final = -1e3
"""Stands in beliefs for a setting that is ruled out: far below any gain, so that it is never the best."""


class Feasibility:
    """Counts of trials that diverged and of those that did not, at the settings and at those like them."""

    def __init__(self, space: Space) -> None:
        self._settings, self._likeness_SS = space.settings, likeness(space.settings)
        shape = space.num_pairs, len(space.settings)
        self._has_diverged_QS, self._is_known_QS = (np.zeros(shape, dtype=np.bool_) for _ in range(2))
        self._chance_S = np.zeros(len(space.settings))

    @property
    def is_tested(self) -> bool:
        """Whether any trial diverged. Until then nothing is ruled out, and nothing here changes a number."""
        return bool(self._has_diverged_QS.any())

    def chances(self) -> FloatArray:
        """Return the chance (S,) that a trial of each setting diverges, on a pair that has not tried it."""
        return self._chance_S

    def tell(self, pair: int, setting: int, *, is_finite: bool) -> None:
        """Count a trial, as far as it was done; one that was finite may have diverged since."""
        self._is_known_QS[pair, setting] = True
        self._has_diverged_QS[pair, setting] |= not is_finite
        if self.is_tested:
            num_diverged_S = self._likeness_SS @ self._has_diverged_QS.sum(axis=0)
            num_known_S = self._likeness_SS @ self._is_known_QS.sum(axis=0)
            self._chance_S = num_diverged_S / (num_known_S + _FINITE_BEFOREHAND)

    def is_ruled_out(self, pairs: Sequence[int] | IntArray | slice = slice(None)) -> BoolArray:
        """Return which settings some pairs must not choose (P, S): they diverged there, or are likely to."""
        is_likely_S = self._chance_S > _TOO_LIKELY
        is_ruled_out_PS: BoolArray = self._has_diverged_QS[pairs] | (~self._is_known_QS[pairs] & is_likely_S)
        return is_ruled_out_PS

    def substitute(self, pair: int, setting: int) -> int | None:
        """Return what a pair may try in place of a setting: on the same set, least likely to diverge, then most alike.

        None if all settings on the set are tried or ruled out.
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
            is_other = (other.temperature, other.alpha) != (wanted.temperature, wanted.alpha)
            return float(self._chance_S[place]), is_other, place

        return min(places, key=rank) if places else None

    def without_ruled_out(self, means_QS: FloatArray) -> FloatArray:
        """Return the means of all pairs, those that are ruled out lower than any gain."""
        return np.where(self.is_ruled_out(), _WORST_POINTS, means_QS) if self.is_tested else means_QS

    def beliefs(self, marginals: Marginals, pair: int) -> Marginals:
        """Return what is believed of a pair; what is ruled out will not become its best setting."""
        if not self.is_tested:
            return marginals
        is_ruled_out_S = self.is_ruled_out([pair])[0]
        mean_S = marginals.mean_S.copy()
        mean_S[: len(is_ruled_out_S)][is_ruled_out_S] = _WORST_POINTS
        return replace(marginals, mean_S=mean_S)

    def worth(self, raised_PC: FloatArray, pairs: Sequence[int], settings_C: IntArray) -> FloatArray:
        """Return what measurements are expected to bring, given what they would if they were sure to end finite."""
        if not self.is_tested:
            return raised_PC
        is_ruled_out_PC = self.is_ruled_out(pairs)[:, settings_C]
        # A pair that has tried a setting knows that it ended finite, as far as it was done.
        chance_PC = np.where(self._is_known_QS[pairs][:, settings_C], 0.0, self._chance_S[settings_C])
        return np.where(is_ruled_out_PC, 0.0, raised_PC * (1 - chance_PC))
