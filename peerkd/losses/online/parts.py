"""The common form of the losses of all methods: named parts in two groups with different weights."""

import functools
import operator
from typing import NamedTuple

from torch import Tensor


class LossParts(NamedTuple):
    """The parts of a loss before they are weighted, each a scalar."""

    supervised: dict[str, Tensor]
    """The parts that depend on labels, at least one."""

    distilled: dict[str, Tensor]
    """The parts by which branches teach each other, possibly none."""

    def total(self, weight: float) -> Tensor:
        """Return ``sum(supervised) + weight * sum(distilled)``, a scalar.

        Distilled parts are included even with a weight of 0, so that a part that is not finite is always noticed.
        Without distilled parts the weight has no effect, and a single supervised part is returned unchanged.
        """
        supervised = functools.reduce(operator.add, self.supervised.values())
        if not self.distilled:
            return supervised
        return supervised + weight * functools.reduce(operator.add, self.distilled.values())

    def named(self) -> dict[str, Tensor]:
        """Return all parts, unweighted, in a dictionary with the keys ``loss/<name>``."""
        return {f"loss/{name}": part for name, part in (self.supervised | self.distilled).items()}
