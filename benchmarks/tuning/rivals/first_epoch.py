"""A first epoch for all settings of a pair; the three that look best go on to the end."""

from collections.abc import Sequence
from typing import Final

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import shuffled_pairs
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.results.arrays import IntArray
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space

_NUM_FINISHED: Final = 3


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    The pairs have their turns in a random order; when all have had one, each further turn finishes the next three. A
    pair has the best of its whole trials, or is left; one that had no turn yet has the setting that was best after
    the first epoch over those that had, if it gains anything.
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
    # Not by whole trials: only what looked good on a pair was done to the end there.
    return known.choices(for_others=known.gains_after(1))
