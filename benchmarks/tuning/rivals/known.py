"""All observations of a rival, and the choices that follow from them without a model.

Shape suffixes: Q = ordered pairs, S = settings, L = pairs of an earlier experiment.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.tuning.scoring import Preference
from peerkd.arrays import FloatArray, IntArray
from peerkd.study.ties import SAME_ACCURACY
from peerkd.tuning.protocol import EarlierSweep, Observation, Suggestion
from peerkd.tuning.space import NO_SETTING, Space

_WEIGHT_OF_MEAN: Final = 2.0
"""Number of trials that the mean of all settings counts as. Without it, the best of many settings that were tried once
would be the luckiest one."""

_WEIGHT_OF_EARLIER: Final = 6.0
"""Number of trials that the mean of a setting in earlier experiments counts as. They had other data, but many pairs."""


class Known:
    """The observations so far."""

    def __init__(self, space: Space, earlier: Sequence[EarlierSweep]) -> None:
        self.space, self.preference = space, Preference(space)
        self.earlier_gains_LS = _matched(space, earlier)
        """The gains of whole trials in earlier experiments under the settings of this one. NaN for a setting that the
        earlier experiment lacks."""

        self._gains: dict[Suggestion, float] = {}
        self._latest_QS: FloatArray = np.full((space.num_pairs, len(space.settings)), np.nan)
        self._num_epochs_QS: IntArray = np.zeros(self._latest_QS.shape, dtype=np.int64)

    def add(self, observation: Observation) -> None:
        """Record an observation."""
        ask, gain, _ = observation
        self._gains[ask] = gain
        if ask.num_epochs >= self._num_epochs_QS[ask.pair, ask.setting]:
            self._latest_QS[ask.pair, ask.setting] = gain
            self._num_epochs_QS[ask.pair, ask.setting] = ask.num_epochs

    def __contains__(self, ask: Suggestion) -> bool:
        """Return whether a suggestion was measured."""
        return ask in self._gains

    def gain(self, ask: Suggestion) -> float:
        """Return the gain of a suggestion that was measured."""
        return self._gains[ask]

    def gains_after(self, num_epochs: int) -> FloatArray:
        """Return the gains after a number of epochs, of shape (Q, S). NaN where nothing was observed."""
        gains_QS = np.full_like(self._latest_QS, np.nan)
        for ask, gain in self._gains.items():
            if ask.num_epochs == num_epochs:
                gains_QS[ask.pair, ask.setting] = gain
        return gains_QS

    def best_first(self, asks: Sequence[Suggestion]) -> list[Suggestion]:
        """Return measured suggestions, those with the highest gain first."""
        return sorted(asks, key=lambda ask: -self._gains[ask])

    @property
    def whole_gains(self) -> FloatArray:
        """The gains of whole trials, of shape (Q, S). NaN for settings without a whole trial."""
        return np.where(self._num_epochs_QS == self.space.num_epochs, self._latest_QS, np.nan)

    def expected_gains(self, gains_QS: FloatArray) -> FloatArray:
        """Return the shrunken mean of each setting over pairs, of shape (S,).

        NaN for settings about which nothing is known.

        The mean of a setting is shrunk towards its mean in earlier experiments, or towards the mean of all settings.
        The more often the setting was tried, the less its mean is shrunk.
        """
        is_known_QS = ~np.isnan(gains_QS)
        num_S, sum_S = is_known_QS.sum(axis=0), np.where(is_known_QS, gains_QS, 0.0).sum(axis=0)
        num_earlier_S = (~np.isnan(self.earlier_gains_LS)).sum(axis=0)
        has_earlier_S = num_earlier_S > 0
        earlier_S = np.nansum(self.earlier_gains_LS, axis=0) / np.maximum(num_earlier_S, 1)
        mean = sum_S.sum() / max(num_S.sum(), 1)
        weight_S = np.where(has_earlier_S, _WEIGHT_OF_EARLIER, _WEIGHT_OF_MEAN)
        drawn_S = (sum_S + weight_S * np.where(has_earlier_S, earlier_S, mean)) / (num_S + weight_S)
        return np.where((num_S > 0) | has_earlier_S, drawn_S, np.nan)

    def best_of_all(self) -> int:
        """Return the setting with the highest expected gain for any pair; ``NO_SETTING`` if that is not above 0."""
        whole_QS = self.whole_gains
        return self._best_expected(self._latest_QS if np.isnan(whole_QS).all() else whole_QS)[0]

    def choices(self, *, for_others: FloatArray | None = None, trusts_earlier: bool = True) -> IntArray:
        """Return the choice of each pair: the best of its whole trials, or of shorter ones if it has none.

        The shape is (Q,).

        A student without a gain stays unchanged. A pair without measurements gets the setting with the highest expected
        gain over all pairs. If there are earlier experiments, a pair with measurements gets this setting, too, unless
        the pair has tried it or has measured a gain that is at least as large.

        Args:
            for_others: (Q, S) gains from which the expected gains are computed. None: those of whole trials, or of
                shorter ones if there is no whole trial.
            trusts_earlier: Whether pairs with measurements may get the setting with the highest expected gain. False
                for a rival whose pairs try the most promising settings first: if these fail on a pair, the mean over
                other pairs says little about it.
        """
        whole_QS = self.whole_gains
        if for_others is None:
            for_others = self._latest_QS if np.isnan(whole_QS).all() else whole_QS
        has_whole_Q1 = ~np.isnan(whole_QS).all(axis=1, keepdims=True)
        own_QS = np.where(has_whole_Q1, whole_QS, self._latest_QS)
        own_Q = self.preference.best_or_none(own_QS)
        common, expected = self._best_expected(for_others)
        if common == NO_SETTING:
            return own_Q
        gain_Q = np.where(own_Q == NO_SETTING, 0.0, own_QS[np.arange(len(own_Q)), own_Q])
        is_tried_QS = self._num_epochs_QS > 0
        gets_common_Q = ~is_tried_QS.any(axis=1)
        if trusts_earlier and len(self.earlier_gains_LS):
            gets_common_Q |= ~is_tried_QS[:, common] & (expected > gain_Q)
        return np.where(gets_common_Q, common, own_Q)

    def _best_expected(self, gains_QS: FloatArray) -> tuple[int, float]:
        expected_S = self.expected_gains(gains_QS)
        best = self.preference.best(expected_S)
        if best == NO_SETTING or expected_S[best] <= SAME_ACCURACY:
            return NO_SETTING, 0.0
        return best, float(expected_S[best])


def _matched(space: Space, earlier: Sequence[EarlierSweep]) -> FloatArray:
    """Return the gains of all earlier pairs under the settings that are the same as this space's, of shape (L, S)."""
    parts: list[FloatArray] = [np.empty((0, len(space.settings)))]
    for each in earlier:
        places = {_recipe(each.space, place): place for place in range(len(each.space.settings))}
        found = [places.get(_recipe(space, place), NO_SETTING) for place in range(len(space.settings))]
        parts.append(np.where(np.array(found) == NO_SETTING, np.nan, each.gains_QS[:, found]))
    return np.concatenate(parts)


def _recipe(space: Space, place: int) -> tuple[object, ...]:
    # The weight is compared instead of alpha, which may weigh the other term in an earlier experiment.
    return space.settings[place]._replace(alpha=0.0)
