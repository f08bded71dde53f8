"""The config of a tuned study, and the two strategies by which a study tries settings."""

from collections.abc import Iterable
from typing import Final, Literal, get_args

from pydantic import Field

from peerkd.config.overrides import overridden_fields
from peerkd.config.strict import StrictConfig
from peerkd.config.sweep import SweepConfig
from peerkd.excerpt import plain
from peerkd.suggestions import check_choice

Strategy = Literal["sweep", "tune"]
"""sweep: every setting of every pair is tried. tune: only the settings that a tuner suggests are tried."""

STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)


class TuneConfig(StrictConfig):
    """The options of ``--strategy tune``. This strategy chooses among the settings of ``sweep``."""

    own_weight: float | None = Field(default=None, ge=0, le=1)
    """The weight of own accuracy in the objective. Own accuracy is measured on the student's own distribution. Global
    accuracy has the weight 1 - own_weight. Null: 0 if ``sweep.selection_metric`` is global_accuracy, and 1 if it is
    own_accuracy."""

    max_own_drop: float | None = Field(default=None, ge=0, le=1)
    """The limit on forgetting. A setting is chosen only if, in a trial of the setting, the student's own validation
    accuracy falls by at most this fraction. Null: no limit."""

    chooses_epochs: bool = False
    """Whether the number of epochs is chosen too. The accuracy is then measured after every epoch, and each trial is
    judged by its best epoch."""

    budget_fraction: float = Field(default=0.05, gt=0, le=1)
    """The budget as a fraction of the cost of the full sweep without controls. The cost is counted in training samples.
    A sample with a forward pass alone counts as a third of a sample."""

    experience: bool = True
    """Whether the tuner starts from experience, which is a prior that was learned from full sweeps of digits.

    The experience applies only to a study with the default conventions, one learning rate, global accuracy alone as the
    objective, and settings like the settings of these sweeps. Some of the sweeps had the transfer sets student, teacher
    and both with the default loss and target, and temperatures from 0.5 to 16. The other sweeps had the transfer sets
    student, public_unlabelled, student_and_public and teacher_unlabelled with several losses and targets, alphas from
    0.4 and temperatures from 0.5 to 4. The log and the report say whether the tuner started from experience. False: the
    tuner starts without experience.
    """

    max_seconds: float | None = Field(default=None, gt=0)
    """The time after which no further iteration begins. With a limit, the choices depend on the speed of the
    machine. Null: no limit."""


def check_grid(sweep: SweepConfig, strategy: str) -> None:
    """Check that a strategy can try the grid of a sweep.

    Raises:
        ValueError: If ``sweep.extend`` is set in a tuned study, in which values cannot be added to the grid.
    """
    if strategy == "tune" and sweep.extend:
        raise ValueError(
            "sweep.extend must be false when strategy is tune, because a tuner chooses among the settings of one grid, "
            "got true."
        )


def check_strategy(strategy: str, overrides: Iterable[str] = ()) -> None:
    """Check that a strategy exists and that overrides set no field of the other strategy.

    Args:
        strategy: The name of the strategy.
        overrides: ``key=value`` pairs.

    Raises:
        ValueError: If the strategy does not exist, or an override sets a field that has no effect with it.
    """
    check_choice("strategy", strategy, STRATEGIES)
    for key in overridden_fields(overrides):
        if strategy == "sweep" and key.partition(".")[0] == "tune":
            raise ValueError(f"{plain(key)} must not be set unless strategy is tune: it would have no effect.")
        if strategy == "tune" and key == "sweep.validate_every_epoch":
            raise ValueError(
                f"{key} must not be set unless strategy is sweep: it would have no effect, and a tuned study has "
                "tune.chooses_epochs."
            )
