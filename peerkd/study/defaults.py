"""The untuned default: the setting that every choice is compared with."""

from typing import Final

from peerkd.study.transfer_sets import TRANSFER_SETS

DEFAULT_TEMPERATURE: Final = 1.0
DEFAULT_ALPHA: Final = 0.5
"""The same weight for both terms of the loss, so that it does not matter which of them alpha weighs."""


def default_weight(transfer_set: str) -> float:
    """Return the weight of the divergence in the untuned default: 1 where no labels are used."""
    return DEFAULT_ALPHA if TRANSFER_SETS[transfer_set].uses_labels else 1.0
