"""A rival that trains all settings of a pair for one epoch, and the three best of them to the end."""

from collections.abc import Sequence
from typing import Final

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import shuffled_pairs
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.arrays import IntArray
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space

_NUM_FINISHED: Final = 3


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    Pairs take turns in a random order. After all have had one, each further turn of a pair finishes its next three
    settings. A pair gets the best of its whole trials if that is a gain. A pair without a turn gets the setting with
    the best mean after the first epoch over the other pairs, if that mean is above 0.
    """
    known = Known(space, earlier)
    pairs = shuffled_pairs(space, seed=seed, name="first_epoch")
    return Scripted(known, (_of_pair(known, pair) for pair in pairs), choose=_choices)


def _of_pair(known: Known, pair: int) -> Script:
    firsts = [Suggestion(pair, setting, 1) for setting in range(len(known.space.settings))]
    yield firsts
    best = [Suggestion(pair, ask.setting, known.space.num_epochs) for ask in known.best_first(firsts)]
    for start in range(0, len(best), _NUM_FINISHED):
        yield best[start : start + _NUM_FINISHED]
        yield ()


def _choices(known: Known) -> IntArray:
    # Whole trials would be a biased sample: only settings that looked good on a pair were trained to the end.
    return known.choices(for_others=known.gains_after(1))
