"""What every method's loss is: named parts, in two groups that are weighted differently."""

import functools
import operator
from typing import NamedTuple

from torch import Tensor


class LossParts(NamedTuple):
    """The parts of a loss before the weight of distillation, each a scalar."""

    supervised: dict[str, Tensor]
    """What labels teach; at least one part."""

    distilled: dict[str, Tensor]
    """What branches teach each other; may be empty."""

    def total(self, weight: float) -> Tensor:
        """Return ``sum(supervised) + weight * sum(distilled)``, a scalar.

        No part is left out at weight 0, so that one that is not finite shows in every epoch. Without a distilled part
        the weight is not looked at, and one supervised part is returned as it is.
        """
        supervised = functools.reduce(operator.add, self.supervised.values())
        if not self.distilled:
            return supervised
        return supervised + weight * functools.reduce(operator.add, self.distilled.values())

    def named(self) -> dict[str, Tensor]:
        """Return all parts, unweighted, as ``loss/<name>``."""
        return {f"loss/{name}": part for name, part in (self.supervised | self.distilled).items()}
