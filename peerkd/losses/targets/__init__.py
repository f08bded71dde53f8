"""The targets of pair distillation: one file for each target, and a table of all. This package does not import torch.

A target is the distribution that a student imitates, made from the predictions of the teacher, of the student's old
self, or of both. Configs, engines, reports and docs take the targets from ``PAIR_TARGETS``. As in
``peerkd.losses.pairs``, a target uses only methods of its tensors, and imports torch only under ``TYPE_CHECKING``.
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
"""The suffix of the label of a target that is made from prior-adjusted logits. The prior adjustment corrects the logits
of each peer for the class proportions of the peer's training samples."""

TARGET_LABELS: Final = tuple(f"{name}{end}" for name in PAIR_TARGETS for end in ("", PRIOR_ADJUSTED))
"""The label of every target, with and without prior adjustment, such as ``class_counts+prior_adjusted``."""


def target_of_label(label: str) -> PairTarget:
    """Return the target that a label of ``TARGET_LABELS`` names. The suffix for prior adjustment is ignored."""
    return PAIR_TARGETS[label.removesuffix(PRIOR_ADJUSTED)]
