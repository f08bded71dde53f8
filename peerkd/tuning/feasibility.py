"""The chance that a setting makes a training diverge, by the trials that have diverged so far.

A training that diverged has no gain, and the posterior is not told of it: any number that stood for its gain would
pull down the beliefs about similar settings and widen the scale of all beliefs. It is counted here instead. The chance
that a setting diverges is the share of diverged trials among those of similar settings, on any pair. A measurement is
worth its expected gain times the chance that the trial ends finite (Gelbart, Snoek and Adams 2014, arXiv:1403.5607).

Shape suffixes: Q = ordered pairs, S = settings, P = some of the pairs, C = candidate measurements.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from peerkd.results.arrays import BoolArray, FloatArray, IntArray
from peerkd.tuning.marginals import Marginals
from peerkd.tuning.settings_prior import similarity
from peerkd.tuning.space import Space

_PRIOR_NUM_FINITE: Final = 1.0
"""Number of finite trials that are assumed before the first one: the chance is 0 until one diverges."""

_MAX_CHANCE: Final = 0.5
"""A setting that is more likely than this to diverge is ruled out for the pairs that have not tried it."""

_WORST_POINTS: Final = -1e3
"""The believed gain of a setting that is ruled out: far below any gain, so that it is never the best."""


class Feasibility:
    """Counts of the trials that diverged and of those that did not, by setting."""

    def __init__(self, space: Space) -> None:
        self._settings, self._similarity_SS = space.settings, similarity(space.settings)
        shape = space.num_pairs, len(space.settings)
        self._has_diverged_QS, self._is_known_QS = (np.zeros(shape, dtype=np.bool_) for _ in range(2))
        self._chance_S = np.zeros(len(space.settings))

    @property
    def any_diverged(self) -> bool:
        """Whether any trial has diverged. Until then no setting is ruled out, and no belief is changed here."""
        return bool(self._has_diverged_QS.any())

    def chances(self) -> FloatArray:
        """Return for each setting the chance (S,) that a trial diverges on a pair that has not tried it."""
        return self._chance_S

    def tell(self, pair: int, setting: int, *, is_finite: bool) -> None:
        """Count a trial as far as it was done. One that was told as finite may be told again as diverged."""
        self._is_known_QS[pair, setting] = True
        self._has_diverged_QS[pair, setting] |= not is_finite
        if self.any_diverged:
            num_diverged_S = self._similarity_SS @ self._has_diverged_QS.sum(axis=0)
            num_known_S = self._similarity_SS @ self._is_known_QS.sum(axis=0)
            self._chance_S = num_diverged_S / (num_known_S + _PRIOR_NUM_FINITE)

    def is_ruled_out(self, pairs: Sequence[int] | IntArray | slice = slice(None)) -> BoolArray:
        """Return for some pairs which settings they must not choose (P, S): those that diverged or are likely to."""
        is_likely_S = self._chance_S > _MAX_CHANCE
        is_ruled_out_PS: BoolArray = self._has_diverged_QS[pairs] | (~self._is_known_QS[pairs] & is_likely_S)
        return is_ruled_out_PS

    def substitute(self, pair: int, setting: int) -> int | None:
        """Return what a pair may try in place of a setting: on the same set, the one least likely to diverge.

        Of several, one with the same temperature and alpha comes first, then the first of the grid. None if all
        settings on the set are tried or ruled out.
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
            is_different = (other.temperature, other.alpha) != (wanted.temperature, wanted.alpha)
            return float(self._chance_S[place]), is_different, place

        return min(places, key=rank) if places else None

    def without_ruled_out(self, means_QS: FloatArray) -> FloatArray:
        """Return the means of all pairs, with those of ruled-out settings set far below any gain."""
        return np.where(self.is_ruled_out(), _WORST_POINTS, means_QS) if self.any_diverged else means_QS

    def beliefs(self, marginals: Marginals, pair: int) -> Marginals:
        """Return the beliefs about a pair, with those about ruled-out settings far below any gain."""
        if not self.any_diverged:
            return marginals
        is_ruled_out_S = self.is_ruled_out([pair])[0]
        mean_S = marginals.mean_S.copy()
        mean_S[: len(is_ruled_out_S)][is_ruled_out_S] = _WORST_POINTS
        return replace(marginals, mean_S=mean_S)

    def worth(self, raised_PC: FloatArray, pairs: Sequence[int], settings_C: IntArray) -> FloatArray:
        """Return what measurements are worth (P, C), given what each would be worth if it were sure to end finite."""
        if not self.any_diverged:
            return raised_PC
        is_ruled_out_PC = self.is_ruled_out(pairs)[:, settings_C]
        # Where a pair has tried a setting, the trial was finite as far as it was done.
        chance_PC = np.where(self._is_known_QS[pairs][:, settings_C], 0.0, self._chance_S[settings_C])
        return np.where(is_ruled_out_PC, 0.0, raised_PC * (1 - chance_PC))
