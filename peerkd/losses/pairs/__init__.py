"""The losses of pair distillation: one file for each loss, and a table of all. This package does not import torch.

A pair is a student and a teacher. The loss of a pair is ``w * D + (1 - w) * CE``, where D is the divergence, CE is the
cross entropy with the labels, and w is the weight of the divergence. Each file of this package contains one D, with its
formula, its source and its hyper-parameters. Configs, engines, reports and docs take the losses from ``PAIR_LOSSES``.

Configs are also read where torch is not installed. A loss therefore uses only methods of its tensors, such as
``logits_BK.log_softmax(-1)``, and imports torch only under ``TYPE_CHECKING``.
"""

from typing import Final

from peerkd.losses.pairs import ctkd, dkd, dts, jensen_shannon, kl, reverse_kl, standardised_kl, ttm, wttm
from peerkd.losses.pairs.own import PairLosses

PAIR_LOSSES: Final = PairLosses(
    (each.name, each)
    for each in (
        kl.LOSS,
        reverse_kl.LOSS,
        jensen_shannon.LOSS,
        dkd.LOSS,
        ttm.LOSS,
        wttm.LOSS,
        standardised_kl.LOSS,
        ctkd.LOSS,
        dts.LOSS,
    )
)
"""Every loss of the program by its name. A lookup of ``module:NAME`` returns a loss of a user's module."""


def sets_temperature(name: str | None) -> bool:
    """Return whether a loss sets its temperature itself. None stands for no loss and gives False."""
    return name is not None and PAIR_LOSSES[name].sets_temperature
