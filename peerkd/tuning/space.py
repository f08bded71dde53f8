"""What can be tried for every ordered pair of a network of peers, what it costs, and what is known before it is tried.

Shape suffixes: Q = ordered pairs, S = settings, F = features, P = peers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.study.transfer_sets import TransferSet

NO_SETTING: Final = -1
"""Stands for leaving a pair's student as it is."""


class SettingOnSet(NamedTuple):
    """What one pair can try: a distillation on one transfer set. Controls are none: there is nothing to tune."""

    transfer_set: TransferSet
    temperature: float
    alpha: float
    """As configured; see ``ConventionsConfig.alpha_weighs``."""

    distillation_weight: float

    learning_rate: float | None = None
    """None: there is only one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Space:
    """The pairs, the settings, and what is known of the pairs before any distillation."""

    students_Q: IntArray
    teachers_Q: IntArray

    settings: tuple[SettingOnSet, ...]
    """The same for all pairs."""

    default_setting: int
    """Index of the untuned default in ``settings``."""

    num_samples_QS: IntArray
    """Samples of each pair's transfer set under each setting."""

    num_epochs: int
    """Of a whole trial."""

    feature_names: tuple[str, ...]
    features_QF: FloatArray
    """Columns of ``peerkd.results.features``; F may be 0. Finite."""

    has_global_gains: bool = True
    """Whether what is measured are gains of global accuracy and no limit: the only ones that come up in experience."""

    @property
    def num_pairs(self) -> int:
        """Q."""
        return len(self.students_Q)

    @property
    def num_peers(self) -> int:
        """P, by the highest number of a peer."""
        return int(max(self.students_Q.max(), self.teachers_Q.max())) + 1

    def restricted(self, pairs: Sequence[int] | IntArray) -> "Space":
        """Return the space of some pairs, by their places in this one."""
        places = np.asarray(pairs, dtype=np.int64)
        return Space(
            students_Q=self.students_Q[places],
            teachers_Q=self.teachers_Q[places],
            settings=self.settings,
            default_setting=self.default_setting,
            num_samples_QS=self.num_samples_QS[places],
            num_epochs=self.num_epochs,
            feature_names=self.feature_names,
            features_QF=self.features_QF[places],
            has_global_gains=self.has_global_gains,
        )
