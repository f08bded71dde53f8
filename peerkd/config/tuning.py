"""How much a tuned study may cost, and the two ways in which a study chooses the settings of its pairs."""

from typing import Final, Literal, get_args

from pydantic import Field

from peerkd.config.strict import StrictConfig

Strategy = Literal["sweep", "tune"]
"""sweep: every setting of every pair. tune: those that a tuner asks for, and no controls."""

STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)


class TuneConfig(StrictConfig):
    """For ``--strategy tune``: the settings are those of ``sweep``, the objective is its ``selection_metric``."""

    budget_fraction: float = Field(default=0.05, gt=0, le=1)
    """Share of the full sweep's cost, counted in training samples; forward passes count a third."""

    experience: bool = True
    """Begin with what full sweeps of digits taught, where the grid is comparable. False: from nothing."""

    max_seconds: float | None = Field(default=None, gt=0)
    """Begin no further round of trials after this time. The choices then depend on the machine. Null: no limit."""


def check_strategy(strategy: str) -> None:
    """Do nothing for a way to choose settings.

    Raises:
        ValueError: If there is no such way.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy}.")
