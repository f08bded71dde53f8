"""The cost of a tuned study, and the two strategies by which a study chooses the settings of its pairs."""

from collections.abc import Iterable
from typing import Final, Literal, get_args

from pydantic import Field

from peerkd.config.strict import StrictConfig
from peerkd.excerpt import plain

Strategy = Literal["sweep", "tune"]
"""sweep: tries every setting of every pair. tune: tries those that a tuner asks for, and no controls."""

STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)


class TuneConfig(StrictConfig):
    """Options of ``--strategy tune``, which chooses among the settings of ``sweep``."""

    own_weight: float | None = Field(default=None, ge=0, le=1)
    """Weight of own accuracy in the choice: 0 for global accuracy, 1 for accuracy on the student's own distribution,
    between them a mean of both. Null: 0 or 1, as ``sweep.selection_metric`` says."""

    max_own_drop: float | None = Field(default=None, ge=0, le=1)
    """Limit on forgetting: choose no setting that was not seen to keep the student's own accuracy on validation to
    within this fraction. Null: no limit."""

    chooses_epochs: bool = False
    """Choose after which epoch a distillation should stop, too: accuracy is measured after each, by which a trial is
    worth what it was at its best."""

    budget_fraction: float = Field(default=0.05, gt=0, le=1)
    """Share of the full sweep's cost, counted in training samples; forward passes count a third."""

    experience: bool = True
    """Begin with what full sweeps of digits taught, where the grid is comparable. False: from nothing."""

    max_seconds: float | None = Field(default=None, gt=0)
    """Begin no further round of trials after this time. The choices then depend on the machine. Null: no limit."""


def check_strategy(strategy: str, overrides: Iterable[str] = ()) -> None:
    """Check that a strategy exists and that overrides set no field of the other one.

    Args:
        strategy: The name of the strategy.
        overrides: ``key=value`` pairs.

    Raises:
        ValueError: If the strategy does not exist, or an override sets a field that has no effect in it.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {plain(strategy)}.")
    for key in (pair.partition("=")[0] for pair in overrides):
        if strategy == "sweep" and key.partition(".")[0] == "tune":
            raise ValueError(f"{plain(key)} must not be set unless strategy is tune: it would have no effect.")
        if strategy == "tune" and key == "sweep.validate_every_epoch":
            raise ValueError(
                f"{key} must not be set unless strategy is sweep: it would have no effect, and a tuned study has "
                "tune.chooses_epochs."
            )
