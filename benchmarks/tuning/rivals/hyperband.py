"""Hyperband (Li et al. 2018) for each pair: successive halving that also hedges against misleading first epochs.

Synchronous, for the reason told in ``successive_halving``.
"""

from collections.abc import Sequence

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import hyperband_sizes, in_turns
from benchmarks.tuning.rivals.script import Scripted
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    Each turn of a pair is a bracket; with three epochs, in turn, one of three settings for an epoch and the best of
    them to the end, and one of two settings to the end at once. A pair has the best of its whole trials, or is left;
    one that had no turn yet has what did best on those that had.
    """
    known = Known(space, earlier)
    return Scripted(known, in_turns(known, hyperband_sizes(space.num_epochs), seed=seed, name="hyperband"))
