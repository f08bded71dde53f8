"""Which settings are tried for every ordered pair, and how one of them is chosen."""

import math
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from peerkd.config.strict import StrictConfig, refuse_repeats
from peerkd.study.splits import Metric
from peerkd.study.transfer_sets import TransferSet, in_words

MAX_SETTINGS: Final = 100_000
"""Largest number of settings. Their list is held in memory, and each pair of peers trains as many students."""


class SweepConfig(StrictConfig):
    """The grid, over all ordered pairs of peers.

    Two controls are in every sweep whatever the grid says: the untuned default (T=1, alpha=0.5), and plain
    fine-tuning on the transfer set (no distillation), which tells what the data alone would have brought. With several
    learning rates the default has that of ``distill``, and fine-tuning is tried at each of them.
    """

    temperatures: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0, 2.0, 4.0, 8.0), min_length=1)
    """T, by which the logits of both networks are divided: 1 leaves them as they are, more softens them."""

    alphas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.1, 0.3, 0.5, 0.7, 0.9), min_length=1)
    """Weights of the term that ``distill.conventions.alpha_weighs`` names, by default the distillation."""

    transfer_sets: tuple[TransferSet, ...] = Field(
        default=("student", "teacher", "both"),
        min_length=1,
        description=f"The data that a pair distils on. {in_words()}",
    )

    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Learning rates of the first step, tried in place of ``distill.learning_rate``. Empty: only that one."""

    selection_metric: Metric = "global_accuracy"
    """The validation accuracy by which a setting is chosen: on all classes alike, or on the student's distribution."""

    default_transfer_set: TransferSet | None = None
    """The set on which the untuned default is compared. Null: the first of ``transfer_sets``."""

    validate_every_epoch: bool = False
    """Also measure accuracy after every epoch, for studies of early stopping; slower. On test it only judges."""

    @property
    def resolved_default_transfer_set(self) -> TransferSet:
        """The transfer set of the untuned default."""
        return self.default_transfer_set or self.transfer_sets[0]

    @model_validator(mode="after")
    def _check(self) -> Self:
        grid = (self.temperatures, self.alphas, self.learning_rates or (None,), self.transfer_sets)
        num_settings = math.prod(map(len, grid))
        if num_settings > MAX_SETTINGS:
            raise ValueError(
                f"temperatures, alphas, transfer_sets and learning_rates must make at most {MAX_SETTINGS:,} settings, "
                f"got {num_settings:,}."
            )
        refuse_repeats("temperatures", self.temperatures)
        refuse_repeats("alphas", self.alphas)
        refuse_repeats("transfer_sets", self.transfer_sets)
        refuse_repeats("learning_rates", self.learning_rates)
        if self.resolved_default_transfer_set not in self.transfer_sets:
            raise ValueError(
                f"default_transfer_set must be one of transfer_sets {list(self.transfer_sets)}, "
                f"got {self.default_transfer_set}."
            )
        return self
