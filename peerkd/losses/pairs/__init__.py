"""The losses of pair distillation: a file for each loss, and the list of all. At run time it needs no torch.

A pair is a student and a teacher. Its loss is ``w * D + (1 - w) * CE``; a file here holds one D, with its formula, its
source and its hyper-parameters. Configs, engines, reports and docs take the losses from ``PAIR_LOSSES``.

The config is read where torch is not installed. A loss therefore computes with the methods of its tensors
(``logits_BK.log_softmax(-1)``) and imports torch under ``TYPE_CHECKING`` only.
"""

from collections.abc import Mapping
from typing import Final

from peerkd.losses.pairs import kl, reverse_kl
from peerkd.losses.pairs.loss import PairLoss

PAIR_LOSSES: Final[Mapping[str, PairLoss]] = {each.name: each for each in (kl.LOSS, reverse_kl.LOSS)}
"""Every loss by its name."""
