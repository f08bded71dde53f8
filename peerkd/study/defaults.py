"""The untuned default: the setting that every choice is compared with."""

from typing import Final, NamedTuple

from peerkd.study.transfer_sets import TRANSFER_SETS

DEFAULT_TEMPERATURE: Final = 1.0
DEFAULT_ALPHA: Final = 0.5
"""The same weight for both terms of the loss, so that it does not matter which of them alpha weighs."""

DIMENSIONS: Final = ("learning_rate", "loss", "target")
"""The columns of a setting that have a value only if an experiment tries several."""


class UntunedDefault(NamedTuple):
    """The values of the untuned default that an experiment determines; temperature and weight are the same for all."""

    transfer_set: str | None
    """None: comparisons with the default ignore the transfer set."""

    learning_rate: float | None = None
    """None: the experiment tries only one rate."""

    loss: str | None = None
    """None: the experiment tries only one loss."""

    target: str | None = None
    """None: the experiment tries only one target."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The columns, other than those of every experiment, of which the experiment tries several values."""
        return tuple(name for name in DIMENSIONS if getattr(self, name) is not None)


def default_weight(transfer_set: str) -> float:
    """Return the weight of the divergence in the untuned default: 1 where no labels are used."""
    return DEFAULT_ALPHA if TRANSFER_SETS[transfer_set].uses_labels else 1.0
