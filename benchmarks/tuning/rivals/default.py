"""The untuned default for every pair: T=1, alpha=0.5, on the default set. It measures nothing and costs nothing."""

from collections.abc import Sequence

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.script import Scripted
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner. It ignores the seed and earlier experiments."""
    del seed, earlier
    return Scripted(Known(space, ()), (), choose=lambda _: np.full(space.num_pairs, space.default_setting))
