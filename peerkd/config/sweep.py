"""The config of the sweep: the settings that are tried for every ordered pair of peers, and the choice among them."""

import math
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from peerkd.config.losses import LossName
from peerkd.config.strict import StrictConfig, refuse_repeats
from peerkd.config.targets import TargetLabel
from peerkd.study.splits import Metric
from peerkd.study.transfer_sets import TRANSFER_SETS, TransferSet, in_words

MAX_SETTINGS: Final = 100_000
"""The limit on the number of settings of a grid. Each pair of peers trains one student for each setting, and the list
of all settings is kept in memory."""


class SweepConfig(StrictConfig):
    """The grid of settings that are tried for every ordered pair of peers.

    On each transfer set with labels, every sweep includes these two trainings, even if the grid does not contain them:
    the untuned default (T=1, alpha=0.5), and a control that fine-tunes the student on the set without distillation,
    which shows how much the data alone contribute. Without labels, the untuned default is T=1 with the divergence alone
    as the loss, and no control exists. If ``learning_rates`` is set, the untuned default uses
    ``distill.learning_rate``, and the control is trained with each of the learning rates. If ``losses`` or ``targets``
    are set, the untuned default uses ``distill.loss`` and ``distill.target``; a control has neither a divergence nor a
    target.
    """

    temperatures: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0, 2.0, 4.0, 8.0), min_length=1)
    """The temperatures T, by which the logits of both networks are divided. 1 leaves the distributions unchanged;
    higher values soften them."""

    alphas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.1, 0.3, 0.5, 0.7, 0.9), min_length=1)
    """The weights alpha. The field ``distill.conventions.alpha_weighs`` names the term of the loss that has this
    weight, by default the distillation."""

    transfer_sets: tuple[TransferSet, ...] = Field(
        default=("student", "teacher", "both"),
        min_length=1,
        description=f"The kinds of data on which a pair distils. {in_words()}",
    )

    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """The learning rates of the first step that are tried in place of ``distill.learning_rate``. Empty: only
    ``distill.learning_rate`` is used."""

    losses: tuple[LossName, ...] = ()
    """The losses that are tried in place of ``distill.loss``. The hyper-parameters of a loss have their defaults. If a
    loss has the same kind as ``distill.loss``, its hyper-parameters have the values of ``distill.loss``. Empty: only
    ``distill.loss`` is used."""

    targets: tuple[TargetLabel, ...] = ()
    """The targets that are tried in place of ``distill.target``. A target is given by its kind, followed by
    +prior_adjusted if ``prior_adjusted`` is true for it. Empty: only ``distill.target`` is used."""

    num_partners: int | None = Field(default=None, ge=1)
    """The number of partners of each peer, which are drawn at random. A peer is the student and the teacher of each of
    its partners, and no other pairs are tried. So the cost of a study of many peers does not grow with the square of
    their number. Null: all other peers are partners."""

    extend: bool = False
    """Whether the grid is extended where many pairs choose its smallest or largest value. A value beyond that edge is
    then added to ``temperatures``, ``alphas`` or ``learning_rates``, and the new settings are trained. This is repeated
    until few pairs choose an edge, at most four times. A tuned study does not support this option."""

    data_stays_home: bool = False
    """Whether to omit the kinds in ``transfer_sets`` that require raw samples to leave a peer. Weights and logits may
    leave a peer."""

    selection_metric: Metric = "global_accuracy"
    """The validation accuracy by which a setting is chosen. global_accuracy: on the distribution of the whole data set.
    own_accuracy: on the student's own distribution."""

    default_transfer_set: TransferSet | None = None
    """The transfer set of the untuned default. Null: the first of ``transfer_sets`` that is tried."""

    validate_every_epoch: bool = False
    """Whether the accuracy is also measured after every epoch, for studies of early stopping. This is slower. No choice
    uses the accuracy on the test set."""

    @property
    def tried_transfer_sets(self) -> tuple[TransferSet, ...]:
        """The kinds of transfer sets that are tried.

        These are all kinds in ``transfer_sets`` or, if ``data_stays_home`` is set, only the kinds that move no raw
        samples.
        """
        return tuple(
            name for name in self.transfer_sets if TRANSFER_SETS[name].keeps_data_home or not self.data_stays_home
        )

    @property
    def resolved_default_transfer_set(self) -> TransferSet:
        """The transfer set of the untuned default."""
        return self.default_transfer_set or self.tried_transfer_sets[0]

    @model_validator(mode="after")
    def _check(self) -> Self:
        tried = (self.learning_rates, self.losses, self.targets)
        grid = (self.temperatures, self.alphas, self.transfer_sets, *(values or (None,) for values in tried))
        num_settings = math.prod(map(len, grid))
        if num_settings > MAX_SETTINGS:
            raise ValueError(
                "temperatures, alphas, transfer_sets, learning_rates, losses and targets must give at most "
                f"{MAX_SETTINGS:,} settings, got {num_settings:,}."
            )
        refuse_repeats("temperatures", self.temperatures)
        refuse_repeats("alphas", self.alphas)
        refuse_repeats("transfer_sets", self.transfer_sets)
        refuse_repeats("learning_rates", self.learning_rates)
        refuse_repeats("losses", self.losses)
        refuse_repeats("targets", self.targets)
        if not self.tried_transfer_sets:
            others = [name for name, facts in TRANSFER_SETS.items() if facts.keeps_data_home]
            raise ValueError(
                f"transfer_sets must contain {' or '.join(others)} when data_stays_home is true, because samples of a "
                f"peer leave it on all others, got {list(self.transfer_sets)}."
            )
        if self.resolved_default_transfer_set not in self.tried_transfer_sets:
            home = " on which data stay at home" if self.data_stays_home else ""
            raise ValueError(
                f"default_transfer_set must be one of transfer_sets {list(self.tried_transfer_sets)}{home}, "
                f"got {self.default_transfer_set}."
            )
        return self
