"""The search space: the ordered pairs, the settings that each may have, their costs, and the features of the pairs.

Shape suffixes: Q = ordered pairs, S = settings, F = features, P = peers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs.term import HINTON, DistillationTerm
from peerkd.study.transfer_sets import TransferSet
from peerkd.study.trials import Setting

NO_SETTING: Final = -1
"""The choice to leave a pair's student as it is."""


class SettingOnSet(NamedTuple):
    """The hyper-parameters of one distillation, with its transfer set. A control has none and is not in the space."""

    transfer_set: TransferSet
    temperature: float
    alpha: float
    """Alpha as configured. ``ConventionsConfig.alpha_weighs`` says which term of the loss it weighs."""

    distillation_weight: float

    learning_rate: float | None = None
    """Learning rate, or None where the study has only one."""

    loss: str | None = None
    """Name of the loss, or None where the study has only one."""

    target: str | None = None
    """Label of the target, or None where the study has only one."""


class ControlOnSet(NamedTuple):
    """A training without a teacher, with its transfer set."""

    transfer_set: TransferSet
    setting: Setting


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Space:
    """The pairs, the settings, and what is known of the pairs before any distillation."""

    students_Q: IntArray
    teachers_Q: IntArray

    settings: tuple[SettingOnSet, ...]
    """Settings that may be tried, the same for all pairs."""

    controls: tuple[ControlOnSet, ...] = ()
    """The controls that the study may train. Their indices follow those of ``settings``. No tuner suggests them."""

    default_setting: int
    """Index of the untuned default in ``settings``."""

    num_samples_QS: IntArray
    """The number of samples that a student of each pair trains on in one epoch under each setting."""

    num_epochs: int
    """Epochs of a whole trial."""

    feature_names: tuple[str, ...]
    features_QF: FloatArray
    """Columns of ``peerkd.results.features``, all finite. F may be 0."""

    num_taught_samples_QS: IntArray | None = None
    """The number of samples on which the teacher's logits are needed. None: ``num_samples_QS``."""

    has_global_gains: bool = True
    """Whether the objective is the gain of global accuracy, without a limit. Experience covers no other objective."""

    term: DistillationTerm = HINTON
    """The loss of all trials, or of the untuned default. Experience covers no other than Hinton's."""

    target_title: str | None = None
    """The target of all trials, or of the untuned default, in words if it is another than the teacher, which is all
    that experience covers."""

    teacher_mode: Literal["eval", "train"] = "eval"
    """See ``ConventionsConfig.teacher_mode``. Experience covers no other than the default."""

    def control(self, setting: int) -> ControlOnSet | None:
        """Return the control with an index. None if the index is that of one of ``settings``."""
        place = setting - len(self.settings)
        return None if place < 0 else self.controls[place]

    def num_samples(self, pair: int, setting: int) -> int:
        """Return the number of samples of an epoch of a pair's trial, which may be a control."""
        control = self.control(setting)
        if control is not None:
            setting = [each.transfer_set for each in self.settings].index(control.transfer_set)
        return int(self.num_samples_QS[pair, setting])

    @property
    def num_pairs(self) -> int:
        """Number of ordered pairs (Q)."""
        return len(self.students_Q)

    @property
    def num_peers(self) -> int:
        """Number of peers (P): one more than the highest index of a peer."""
        return int(max(self.students_Q.max(), self.teachers_Q.max())) + 1

    def restricted(self, pairs: Sequence[int] | IntArray) -> "Space":
        """Return the space of some of the pairs, given by their indices in this one."""
        places = np.asarray(pairs, dtype=np.int64)
        return replace(
            self,
            students_Q=self.students_Q[places],
            teachers_Q=self.teachers_Q[places],
            num_samples_QS=self.num_samples_QS[places],
            num_taught_samples_QS=None if self.num_taught_samples_QS is None else self.num_taught_samples_QS[places],
            features_QF=self.features_QF[places],
        )
