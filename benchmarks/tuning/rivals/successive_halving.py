"""Successive halving (Jamieson and Talwalkar 2016) for each pair, by epochs.

The pruner of Optuna is not used, because it is asynchronous: it trains the first setting that it sees to the end. A
pair can afford few settings, so work is saved only if promotion waits for all trials of a rung.
"""

from collections.abc import Sequence

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import ETA, in_turns, num_promotions
from benchmarks.tuning.rivals.script import Scripted
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    In its turn a pair tries as many random settings as lead to one whole trial. With three epochs, it trains three
    settings for one epoch and the best of them to the end. A pair gets the best of its whole trials if that is a gain.
    A pair without a turn gets the setting that did best on the other pairs.
    """
    known, promotions = Known(space, earlier), num_promotions(space.num_epochs)
    return Scripted(known, in_turns(known, [(ETA**promotions, promotions)], seed=seed, name="successive_halving"))
