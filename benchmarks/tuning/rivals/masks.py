"""Data partitioning between pre-trained models for every pair, without tuning. It measures nothing and costs nothing.

Source: Roth et al. 2024, arXiv:2310.17653: each sample is taught by the teacher or by the student's old self, whichever
is more confident of it.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.script import Scripted
from peerkd.losses.targets import masks
from peerkd.study.defaults import DEFAULT_TEMPERATURE, default_weight
from peerkd.tuning.experience_grid import combination_of
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space

_PREFERRED_SET = "student_and_public"
"""The preferred transfer set: the student's own labelled data, together with public data. It has no data of the
teacher."""


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner. It ignores the seed and earlier experiments.

    All pairs get the target ``masks`` with the default loss, temperature and weight. The transfer set is the student's
    own data together with public data if the sweep tries it, else the default transfer set. If no such setting exists,
    all pairs get the untuned default.
    """
    del seed, earlier
    return Scripted(Known(space, ()), (), choose=lambda _: np.full(space.num_pairs, _setting(space)))


def _setting(space: Space) -> int:
    default = combination_of(space.settings[space.default_setting], space)
    for name in (_PREFERRED_SET, default.transfer_set):
        for place, setting in enumerate(space.settings):
            wanted = default._replace(transfer_set=name, target=masks.TARGET.name)
            is_plain = setting.temperature == DEFAULT_TEMPERATURE
            if (
                is_plain
                and setting.distillation_weight == default_weight(name)
                and combination_of(setting, space) == wanted
            ):
                return place
    return space.default_setting
