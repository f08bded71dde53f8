"""The config of the target that a student imitates: one kind for each registered target."""

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pydantic import Field

from peerkd.config.strict import StrictConfig
from peerkd.losses.targets import PAIR_TARGETS, PRIOR_ADJUSTED, TARGET_LABELS, teacher
from peerkd.losses.targets.target import PairTarget

if TYPE_CHECKING:
    TargetKind: TypeAlias = str
    TargetLabel: TypeAlias = str
else:
    TargetKind = Literal[tuple(PAIR_TARGETS)]
    TargetLabel = Literal[TARGET_LABELS]

_KINDS_IN_WORDS: Final = " ".join(f"{name}: {target.title}." for name, target in PAIR_TARGETS.items())


class TargetConfig(StrictConfig):
    """The distribution that the student imitates, made of predictions of the teacher, the student's old self, or both.

    The old self is the pre-trained student before the distillation. The page targets.md has the formulas.
    """

    kind: TargetKind = Field(default=teacher.TARGET.name, description=f"The target. {_KINDS_IN_WORDS}")

    prior_adjusted: bool = False
    """Whether the logits of a peer are corrected by its numbers of training samples before anything else. From the
    logit of each class, log(1 + n) is subtracted, where n is the number of the peer's training samples of the class. A
    peer then does not favour the classes of which it has many samples."""

    @property
    def label(self) -> str:
        """The label of the target, one of ``TARGET_LABELS``: its kind, and a suffix if it is prior-adjusted."""
        return f"{self.kind}{PRIOR_ADJUSTED}" if self.prior_adjusted else self.kind

    @property
    def pair_target(self) -> PairTarget:
        """The registered target of this kind: its function, its formula and its description."""
        return PAIR_TARGETS[self.kind]

    @property
    def is_teacher(self) -> bool:
        """Whether the target is what the teacher predicts, unchanged."""
        return self.kind == teacher.TARGET.name and not self.prior_adjusted

    @property
    def title(self) -> str:
        """The target in words, as a noun with its article."""
        return f"{self.pair_target.title}, prior-adjusted" if self.prior_adjusted else self.pair_target.title


def target_config(label: str) -> TargetConfig:
    """Return the config of the target that a label names. The label must be one of ``TARGET_LABELS``."""
    return TargetConfig(kind=label.removesuffix(PRIOR_ADJUSTED), prior_adjusted=label.endswith(PRIOR_ADJUSTED))
