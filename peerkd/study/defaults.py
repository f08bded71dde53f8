"""The untuned default: the setting that every choice is compared with."""

from typing import Final, NamedTuple

from peerkd.study.transfer_sets import TRANSFER_SETS

DEFAULT_TEMPERATURE: Final = 1.0
DEFAULT_ALPHA: Final = 0.5
"""The alpha of the untuned default. Both terms of the loss have the same weight, whichever of them alpha weighs."""

DIMENSIONS: Final = ("learning_rate", "loss", "target")
"""The names of the hyper-parameters for which an experiment tries one value or several. Settings state the value of
such a hyper-parameter only if the experiment tries several values."""


class UntunedDefault(NamedTuple):
    """The values of the untuned default that depend on the experiment.

    Its temperature and its weight are the same in every experiment: ``DEFAULT_TEMPERATURE`` and ``default_weight``.
    """

    transfer_set: str | None
    """The kind of transfer set. None: comparisons with the default ignore the transfer set."""

    learning_rate: float | None = None
    """The learning rate of the first step. None: the experiment tries only one rate."""

    loss: str | None = None
    """The name of the loss. None: the experiment tries only one loss."""

    target: str | None = None
    """The label of the target. None: the experiment tries only one target."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the hyper-parameters in ``DIMENSIONS`` for which the experiment tries several values."""
        return tuple(name for name in DIMENSIONS if getattr(self, name) is not None)


def default_weight(transfer_set: str) -> float:
    """Return the weight of the divergence in the untuned default: 0.5, or 1 if the transfer set has no labels."""
    return DEFAULT_ALPHA if TRANSFER_SETS[transfer_set].uses_labels else 1.0
