"""One setting for all pairs, found on some of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import shuffled_pairs
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.arrays import IntArray
from peerkd.seeds import generator
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space

_NUM_KEPT: Final = 4
"""Number of settings that are tried on all pairs."""

_EARLIER_SHARE: Final = 0.25
"""Fraction of the settings that is tried if there are earlier sweeps. These are the settings with the best means in
these sweeps."""


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    All settings are tried on a random pair. The better half of them is tried on two more pairs, the better half of
    these on four more pairs, and so on. When four settings remain, they are tried on all remaining pairs. At any time,
    all pairs get the setting with the best mean so far; if this mean is not above 0, all students stay unchanged. If
    there are earlier experiments, only the quarter of the settings with the best means in them is tried, and the mean
    of a setting in them counts as much as a few trials.
    """
    known = Known(space, earlier)
    return Scripted(known, [_elimination(known, seed)], choose=_same_for_all)


def _elimination(known: Known, seed: int) -> Script:
    space = known.space
    pairs = shuffled_pairs(space, seed=seed, name="best_single")
    settings = np.array(generator(seed, "tuner", "best_single", "settings").permutation(len(space.settings)))
    if len(known.earlier_gains_LS):
        settings = _best(known, (), settings, max(round(_EARLIER_SHARE * len(settings)), _NUM_KEPT))
    start, num_pairs = 0, 1
    while start < len(pairs):
        stop = start + num_pairs
        yield [Suggestion(pair, int(setting), space.num_epochs) for pair in pairs[start:stop] for setting in settings]
        settings = _best(known, pairs[:stop], settings, max(len(settings) // 2, _NUM_KEPT))
        start, num_pairs = stop, 2 * num_pairs


def _best(known: Known, pairs: Sequence[int], settings: IntArray, num: int) -> IntArray:
    """Return some of the settings, those with the best means over pairs on which all of them were tried."""
    # The means are not over all known trials: a tuner that is restarted must decide as it did before.
    expected_S = known.expected_gains(known.whole_gains[list(pairs)])
    best_first = settings[np.argsort(-np.nan_to_num(expected_S[settings], nan=-np.inf), kind="stable")]
    return best_first[:num]


def _same_for_all(known: Known) -> IntArray:
    return np.full(known.space.num_pairs, known.best_of_all())
