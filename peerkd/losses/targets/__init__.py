"""The targets of pair distillation: a file for each target, and the list of all. At run time it needs no torch.

A file here specifies who makes the distribution that a student imitates. Configs, engines, reports and docs take the
targets from ``PAIR_TARGETS``. As in ``peerkd.losses.pairs``, a target computes with the methods of its tensors and
imports torch under ``TYPE_CHECKING`` only.
"""

from collections.abc import Mapping
from typing import Final

from peerkd.losses.targets import class_counts, entropy, masks, mean, student, teacher
from peerkd.losses.targets.target import PairTarget

PAIR_TARGETS: Final[Mapping[str, PairTarget]] = {
    each.name: each
    for each in (
        teacher.TARGET,
        mean.TARGET,
        class_counts.TARGET,
        entropy.TARGET,
        masks.TARGET,
        student.TARGET,
    )
}
"""Every target by its name."""

PRIOR_ADJUSTED: Final = "+prior_adjusted"
"""The end of the label of a target that is made from prior-adjusted logits."""

TARGET_LABELS: Final = tuple(f"{name}{end}" for name in PAIR_TARGETS for end in ("", PRIOR_ADJUSTED))
"""The label of every target, with and without prior adjustment, such as ``class_counts+prior_adjusted``."""


def target_of_label(label: str) -> PairTarget:
    """Return the target of a label of ``TARGET_LABELS``, whether or not it is prior-adjusted."""
    return PAIR_TARGETS[label.removesuffix(PRIOR_ADJUSTED)]
