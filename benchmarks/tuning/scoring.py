"""The score of a tuner's choices on test data, and the scores of reference choices.

Only this module reads test gains. A score is compared with three references on the same pairs. The first one is the
choice of the full sweep for each pair, and the second one is the best single setting for all pairs. Both are chosen on
validation. The third one is the untuned default. A pair whose student stays unchanged gains 0. The full sweep may also
leave students unchanged. Under a limit on the loss of own accuracy, a single setting leaves the student unchanged in
each pair in which it breaks the limit on validation. If choices include the epoch to stop after, so do the first two
references. The default is always a whole trial.

Shape suffixes: Q = ordered pairs, S = settings, E = epochs of a whole trial; 1 where only whole trials count.
"""

from dataclasses import dataclass

import numpy as np

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.study.defaults import UntunedDefault
from peerkd.study.ties import CHANGE_COLUMNS, SAME_ACCURACY, best, is_above, ranks
from peerkd.tuning.space import NO_SETTING, Space
from peerkd.tuning.validation import best_epochs


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Mean test gains (fractions) of the reference choices for the pairs of a score."""

    full: float
    """Gain if each pair has the choice of the full sweep."""

    single: float
    """Gain if all pairs have the one setting with the best mean gain on validation."""

    default: float
    """Gain if all pairs have the untuned default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The score of a tuner's choices once a budget is spent. Gains are means over all pairs on test."""

    budget: float
    """Fraction of the full sweep's cost that could be spent."""

    spent_share: float
    """Fraction that was spent, never above the budget."""

    spent: float
    """Cost that was spent, in trained samples (``peerkd.tuning.accounting``)."""

    gain: float
    """Gain of the choices. A pair whose student stays unchanged gains 0."""

    reference: Reference

    num_pairs_tried: int
    num_pairs_left: int
    """Number of pairs whose student stays unchanged."""

    num_trials: int
    """Number of trials that were begun, whether or not they were trained to the end."""

    tuner_seconds: float
    """Seconds of the tuner's own computation so far."""

    @property
    def share_recovered(self) -> float:
        """The gain over the best single setting, as a share of the full sweep's gain over this setting.

        NaN if the full sweep gains no more than the best single setting.
        """
        whole = self.reference.full - self.reference.single
        return (self.gain - self.reference.single) / whole if whole > SAME_ACCURACY else np.nan

    @property
    def regret(self) -> float:
        """The mean gain of the full sweep's choices minus the mean gain of the tuner's choices."""
        return self.reference.full - self.gain


class GainsOnTest:
    """The test gains of every pair under every setting. Only their means over all pairs can be read."""

    def __init__(self, test_gains_QSE: FloatArray) -> None:
        self._test_gains_QSE = test_gains_QSE

    def mean_gain(self, choices_Q: IntArray, *, stops_Q: IntArray | None = None) -> float:
        """Return the mean test gain of choices, where ``NO_SETTING`` has gain 0.

        Args:
            choices_Q: Settings.
            stops_Q: Indices of the epochs to stop after. None for whole trials.
        """
        stops_Q = np.full_like(choices_Q, -1) if stops_Q is None else stops_Q
        gains_Q = self._test_gains_QSE[np.arange(len(choices_Q)), choices_Q, stops_Q]
        return float(np.where(choices_Q == NO_SETTING, 0.0, gains_Q).mean())

    def restricted(self, pairs: IntArray) -> "GainsOnTest":
        """Return the test gains of some pairs, given by their indices."""
        return GainsOnTest(self._test_gains_QSE[pairs])


def reference(
    space: Space,
    validation_gains_QSE: FloatArray,
    test_gains: GainsOnTest,
    *,
    is_allowed_QSE: BoolArray | None = None,
    chooses_epochs: bool = False,
) -> Reference:
    """Return the test gains of the reference choices, which are made on validation.

    Args:
        space: Search space.
        validation_gains_QSE: Gains of the objective on validation after each epoch, as a tuner observes them.
        test_gains: Test gains of the same pairs, after each epoch where epochs are chosen.
        is_allowed_QSE: Whether the limit on the loss of own accuracy is kept on validation. None: no limit.
        chooses_epochs: Whether a choice has an epoch to stop after. If not, it is a whole trial.
    """
    if is_allowed_QSE is None:
        is_allowed_QSE = np.ones(validation_gains_QSE.shape, dtype=np.bool_)
    if not chooses_epochs:
        validation_gains_QSE, is_allowed_QSE = validation_gains_QSE[:, :, -1:], is_allowed_QSE[:, :, -1:]
    preference, places_Q = Preference(space), np.arange(space.num_pairs)
    last = validation_gains_QSE.shape[2] - 1

    def for_all(setting: int, stop: int) -> float:
        choices_Q = np.where(is_allowed_QSE[:, setting, stop], setting, NO_SETTING)
        return test_gains.mean_gain(choices_Q, stops_Q=np.full_like(choices_Q, stop - last - 1))

    stops_QS = best_epochs(validation_gains_QSE, is_allowed_QSE)[:, :, -1]
    best_QS = np.take_along_axis(validation_gains_QSE, stops_QS[:, :, None], axis=2)[:, :, 0]
    full_Q = preference.best_or_none(best_QS)
    mean_SE = np.where(is_allowed_QSE, validation_gains_QSE, 0.0).mean(axis=0)
    single = preference.best(mean_SE.max(axis=1))
    return Reference(
        full=test_gains.mean_gain(full_Q, stops_Q=stops_QS[places_Q, full_Q] - last - 1),
        single=for_all(single, int(mean_SE[single].argmax())),
        default=for_all(space.default_setting, last),
    )


class Preference:
    """The rule for the choice among settings by their gains. Ties are broken by the rule of ``peerkd.study.ties``."""

    def __init__(self, space: Space) -> None:
        usual = space.settings[space.default_setting]
        default = UntunedDefault(usual.transfer_set, usual.learning_rate, usual.loss, usual.target)
        columns = {name: [getattr(setting, name) for setting in space.settings] for name in CHANGE_COLUMNS}
        self._ranks_S: IntArray = ranks(columns, default=default)

    def best(self, gains_S: FloatArray) -> int:
        """Return the setting with the largest gain; NaN is an unknown gain. ``NO_SETTING`` if all are unknown."""
        return int(self._best(gains_S[None])[0])

    def best_or_none(self, gains_QS: FloatArray) -> IntArray:
        """Return the best setting of each pair, or ``NO_SETTING`` if no known gain of the pair is above 0."""
        best_Q = self._best(gains_QS)
        gains_Q = gains_QS[np.arange(len(best_Q)), best_Q]
        return np.where((best_Q != NO_SETTING) & is_above(gains_Q, 0.0), best_Q, NO_SETTING)

    def _best(self, gains_QS: FloatArray) -> IntArray:
        known_QS = np.where(np.isnan(gains_QS), -np.inf, gains_QS)
        return np.where(np.isnan(gains_QS).all(axis=1), NO_SETTING, best(known_QS, self._ranks_S))
