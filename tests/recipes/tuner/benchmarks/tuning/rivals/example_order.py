"""Grid search in the order of the grid: the first setting on every pair, then the second, and so on."""

from collections.abc import Sequence

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner. It draws nothing at random, so the seed makes no difference."""
    del seed
    return Scripted(Known(space, earlier), (_turn(space, setting) for setting in range(len(space.settings))))


def _turn(space: Space, setting: int) -> Script:
    yield [Suggestion(pair, setting, space.num_epochs) for pair in range(space.num_pairs)]
