"""Successive halving (Jamieson and Talwalkar 2016) for each pair, by epochs.

Not Optuna's pruner: that is the asynchronous kind, which lets the first setting that it sees go on to the end. With
the few settings that a pair can afford, waiting for all of a rung is what saves.
"""

from collections.abc import Sequence

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import ETA, in_turns, num_promotions
from benchmarks.tuning.rivals.script import Scripted
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    In its turn a pair tries as many random settings as end in one whole trial: with three epochs, three for the first
    and the best of them to the end. A pair has the best of its whole trials, or is left; one that had no turn yet has
    what did best on those that had.
    """
    known, promotions = Known(space, earlier), num_promotions(space.num_epochs)
    return Scripted(known, in_turns(known, [(ETA**promotions, promotions)], seed=seed, name="successive_halving"))
