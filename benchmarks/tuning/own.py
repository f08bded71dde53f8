"""The tuner of peerkd, in the form in which the benchmark builds all tuners."""

from collections.abc import Sequence

from peerkd.tuning.experience import shipped
from peerkd.tuning.pair_tuner import PairTuner
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def with_experience(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> PairTuner:
    """Return the tuner of a tuned study. It is deterministic and ignores the seed."""
    del seed
    return PairTuner(space, earlier_sweeps=earlier, experience=shipped())


def from_nothing(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> PairTuner:
    """Return the tuner without the shipped experience, which shows the benefit of the experience."""
    del seed
    return PairTuner(space, earlier_sweeps=earlier)
