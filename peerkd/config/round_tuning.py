"""The config of the choice of settings in rounds: the settings among which peers choose."""

from typing import Final, Self

from pydantic import Field, model_validator

from peerkd.config.strict import StrictConfig, refuse_repeats


class RoundSetting(StrictConfig):
    """A setting of the method ``predictions``. A field that is null has the value of the same field of ``rounds``."""

    alpha: float | None = Field(default=None, ge=0, le=1)
    """The weight alpha."""

    temperature: float | None = Field(default=None, gt=0)
    """The temperature T."""

    sharpening_temperature: float | None = Field(default=None, gt=0, le=1)
    """The temperature by which the target is sharpened."""

    learning_rate: float | None = Field(default=None, gt=0)
    """The learning rate of the first step."""

    epochs: int | None = Field(default=None, ge=1)
    """The number of epochs of the round. Null: what is left of the peer's budget, divided by the number of rounds that
    are left."""

    num_left_out: int = Field(default=0, ge=0)
    """The number of partners from which the peer does not learn: those whose predictions agree least with the joined
    ones. One partner is always kept, so the number must be below the number of partners."""


PORTFOLIO: Final = (
    RoundSetting(learning_rate=0.05),
    RoundSetting(),
    RoundSetting(learning_rate=0.1),
    RoundSetting(learning_rate=0.05, sharpening_temperature=0.25),
    RoundSetting(learning_rate=0.05, alpha=0.8),
    RoundSetting(learning_rate=0.05, temperature=2.0),
)
"""The default settings, the one with the highest expected gain first."""


class RoundsTuneConfig(StrictConfig):
    """The choice of settings over rounds, for the method ``predictions``."""

    enabled: bool = False
    """Whether each peer chooses a setting in each round. All peers learn from the gains of all earlier rounds, which
    are the only numbers that leave a peer for this purpose. A peer measures gains on its own validation samples and on
    the public set, and keeps its network if it loses. A peer that has lost in its last two trainings, the second of
    them in the last round, omits the next round. The budget of each peer is rounds.num_rounds times rounds.epochs
    epochs, as without tuning. A peer that is absent in some rounds spends it in the others."""

    portfolio: tuple[RoundSetting, ...] = Field(default=PORTFOLIO, min_length=1)
    """The settings among which peers choose. The first one is expected to be the best before the first round."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_repeats("portfolio", self.portfolio)
        return self
