"""Random search: random settings on random pairs."""

from collections.abc import Sequence

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.arrays import IntArray
from peerkd.seeds import generator
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    Each turn tries one more random setting on every pair, with the pairs in a random order, so that no pair has a
    second turn before all have had a first. A pair gets the best setting that it tried if that is a gain. A pair
    without a turn gets the setting that did best on the other pairs.
    """
    return Scripted(Known(space, earlier), (_turn(space, number, seed) for number in range(len(space.settings))))


def _turn(space: Space, number: int, seed: int) -> Script:
    pairs_Q = generator(seed, "tuner", "random", "turn", number).permutation(space.num_pairs)
    yield [
        Suggestion(pair, int(setting), space.num_epochs)
        for pair, setting in zip(pairs_Q.tolist(), _settings(space, seed)[pairs_Q, number], strict=True)
    ]


def _settings(space: Space, seed: int) -> IntArray:
    """Return all settings in a random order of its own for each pair, of shape (Q, S)."""
    in_order_QS = np.tile(np.arange(len(space.settings)), (space.num_pairs, 1))
    settings_QS: IntArray = generator(seed, "tuner", "random", "settings").permuted(in_order_QS, axis=1)
    return settings_QS
