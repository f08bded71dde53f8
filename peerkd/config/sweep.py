"""The config of the sweep: the settings that are tried for every ordered pair of peers, and the choice among them."""

import math
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from peerkd.config.strict import StrictConfig, refuse_repeats
from peerkd.study.splits import Metric
from peerkd.study.transfer_sets import TransferSet, in_words

MAX_SETTINGS: Final = 100_000
"""The limit on the number of settings. Their list is kept in memory, and each pair of peers trains as many students."""


class SweepConfig(StrictConfig):
    """The grid of settings that are tried for every ordered pair of peers.

    On each transfer set with labels, every sweep includes these two trainings, even if the grid does not contain them:
    the untuned default (T=1, alpha=0.5), and a control that fine-tunes the student on the set without distillation,
    which shows how much the data alone contribute. Without labels, the untuned default is T=1 with the divergence alone
    as the loss, and no control exists. If ``learning_rates`` is set, the untuned default uses
    ``distill.learning_rate``, and the control is trained with each of the learning rates.
    """

    temperatures: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0, 2.0, 4.0, 8.0), min_length=1)
    """The temperatures T, by which the logits of both networks are divided. 1 leaves the distributions unchanged;
    higher values soften them."""

    alphas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.1, 0.3, 0.5, 0.7, 0.9), min_length=1)
    """The weights alpha of the term of the loss that ``distill.conventions.alpha_weighs`` names, by default the
    distillation."""

    transfer_sets: tuple[TransferSet, ...] = Field(
        default=("student", "teacher", "both"),
        min_length=1,
        description=f"The kinds of data on which a pair distils. {in_words()}",
    )

    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """The learning rates of the first step that are tried in place of ``distill.learning_rate``. Empty: only
    ``distill.learning_rate`` is used."""

    selection_metric: Metric = "global_accuracy"
    """The validation accuracy by which a setting is chosen. global_accuracy: on the distribution of the whole data set.
    own_accuracy: on the student's own distribution."""

    default_transfer_set: TransferSet | None = None
    """The transfer set of the untuned default. Null: the first of ``transfer_sets``."""

    validate_every_epoch: bool = False
    """Whether the accuracy is also measured after every epoch, for studies of early stopping. This is slower. No choice
    uses the accuracy on the test set."""

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
                f"temperatures, alphas, transfer_sets and learning_rates must give at most {MAX_SETTINGS:,} settings, "
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
