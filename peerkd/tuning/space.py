"""The search space: the ordered pairs, the settings that each may have, their costs, and the features of the pairs.

Shape suffixes: Q = ordered pairs, S = settings, F = features, P = peers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs.term import HINTON, DistillationTerm
from peerkd.losses.targets import teacher
from peerkd.study.transfer_sets import TransferSet
from peerkd.study.trials import Setting

NO_SETTING: Final = -1
"""The value that stands for a choice to leave the student of a pair unchanged, in place of the index of a setting."""


class SettingOnSet(NamedTuple):
    """The setting of one distillation, including its transfer set. Controls have the type ``ControlOnSet`` instead."""

    transfer_set: TransferSet
    temperature: float
    alpha: float
    """Alpha as configured. ``ConventionsConfig.alpha_weighs`` says which term of the loss it weighs."""

    distillation_weight: float

    learning_rate: float | None = None
    """The learning rate; None if the study has only one."""

    loss: str | None = None
    """The name of the loss; None if the study has only one."""

    target: str | None = None
    """The label of the target; None if the study has only one."""


class ControlOnSet(NamedTuple):
    """The setting of a training without a teacher, including its transfer set."""

    transfer_set: TransferSet
    setting: Setting


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Space:
    """The pairs, the settings, and what is known about them before any distillation."""

    students_Q: IntArray
    teachers_Q: IntArray

    settings: tuple[SettingOnSet, ...]
    """The settings that may be tried, which are the same for all pairs."""

    controls: tuple[ControlOnSet, ...] = ()
    """The controls that the study may train. Their indices begin after the last index of ``settings``. No tuner
    suggests controls."""

    default_setting: int
    """The index of the untuned default in ``settings``."""

    num_samples_QS: IntArray
    """The number of samples that a student of each pair trains on in one epoch under each setting."""

    num_epochs: int
    """The number of epochs of a whole trial."""

    feature_names: tuple[str, ...]
    features_QF: FloatArray
    """The features of each pair: columns of ``peerkd.results.features``. All values are finite, and F may be 0."""

    num_taught_samples_QS: IntArray | None = None
    """The number of samples on which the teacher's logits are needed. None means that they are needed on all samples
    that ``num_samples_QS`` counts."""

    has_global_gains: bool = True
    """Whether the objective is the gain of global accuracy without a limit. Experience covers only this objective."""

    term: DistillationTerm = HINTON
    """The distillation term of all trials. If several losses are tried, it is the term of the untuned default."""

    target: str = teacher.TARGET.name
    """The label of the target of all trials. If several targets are tried, it is the label of the untuned default."""

    teacher_mode: Literal["eval", "train"] = "eval"
    """The value of ``ConventionsConfig.teacher_mode``. Experience covers only the default."""

    def control(self, setting: int) -> ControlOnSet | None:
        """Return the control with the given index; None if the index belongs to a setting.

        The indices of controls begin after the last index of ``settings``.
        """
        place = setting - len(self.settings)
        return None if place < 0 else self.controls[place]

    def num_samples(self, pair: int, setting: int) -> int:
        """Return the number of samples in an epoch of a trial of a pair, which may be a control."""
        control = self.control(setting)
        if control is not None:
            setting = [each.transfer_set for each in self.settings].index(control.transfer_set)
        return int(self.num_samples_QS[pair, setting])

    @property
    def num_pairs(self) -> int:
        """The number of ordered pairs (Q)."""
        return len(self.students_Q)

    @property
    def num_peers(self) -> int:
        """The number of peers (P), which is the highest index of a peer plus one."""
        return int(max(self.students_Q.max(), self.teachers_Q.max())) + 1

    def restricted(self, pairs: Sequence[int] | IntArray) -> "Space":
        """Return the space with only some of the pairs, given their indices in this space."""
        places = np.asarray(pairs, dtype=np.int64)
        return replace(
            self,
            students_Q=self.students_Q[places],
            teachers_Q=self.teachers_Q[places],
            num_samples_QS=self.num_samples_QS[places],
            num_taught_samples_QS=None if self.num_taught_samples_QS is None else self.num_taught_samples_QS[places],
            features_QF=self.features_QF[places],
        )
