"""Hyperband (Li et al. 2018) for each pair: successive halving that also hedges against misleading first epochs.

It is synchronous: it promotes settings only when all trials of a rung are done. The asynchronous variant of Optuna
trains the first setting that it sees to the end, which is too much for the few settings that a pair can afford.
"""

from collections.abc import Sequence

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import hyperband_sizes, in_turns
from benchmarks.tuning.rivals.script import Scripted
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    Each turn of a pair is a bracket. With three epochs, two kinds of brackets alternate: one trains three settings for
    an epoch and the best of them to the end, the other trains two settings to the end. A pair gets the best of its
    whole trials if that is a gain. A pair without a turn gets the setting that did best on the other pairs.
    """
    known = Known(space, earlier)
    return Scripted(known, in_turns(known, hyperband_sizes(space.num_epochs), seed=seed, name="hyperband"))
