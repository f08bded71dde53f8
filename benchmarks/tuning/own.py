"""The tuner of peerkd, in the form in which the benchmark builds all tuners."""

from collections.abc import Sequence

from peerkd.tuning.experience import shipped
from peerkd.tuning.pair_tuner import PairTuner
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def with_experience(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> PairTuner:
    """Return the tuner as a tuned study has it; it draws nothing at random, so the seed makes no difference."""
    del seed
    return PairTuner(space, earlier_sweeps=earlier, experience=shipped())


def from_nothing(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> PairTuner:
    """Return the tuner without the experience that is shipped, which shows what the experience is worth."""
    del seed
    return PairTuner(space, earlier_sweeps=earlier)
