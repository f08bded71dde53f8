"""A few settings that together have something good for most pairs, tried one after the other on all of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import shuffled_pairs
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.results.arrays import FloatArray
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space

_SWEPT_SHARE: Final = 0.02
"""Fraction of the pairs that is swept in full, to learn from, if there is no earlier sweep."""

_MIN_SWEPT: Final = 2


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    The order of the settings is learned from earlier experiments; without any, from random pairs that are swept
    first. Each next setting is the one that adds most to what those before it give to the pairs learned from, for
    what it costs. It is tried on all pairs before the next one is. A pair has the best that it tried, or is left; one
    that had no turn yet has what did best on those that had.
    """
    known = Known(space, earlier)
    script = _script(known, shuffled_pairs(space, seed=seed, name="portfolio"))
    return Scripted(known, [script], choose=lambda known: known.choices(trusts_earlier=False))


def _script(known: Known, pairs: Sequence[int]) -> Script:
    space = known.space
    learned_LS = known.earlier_gains_LS
    if not len(learned_LS):
        swept = pairs[: max(round(_SWEPT_SHARE * len(pairs)), _MIN_SWEPT)]
        yield [Suggestion(pair, setting, space.num_epochs) for pair in swept for setting in range(len(space.settings))]
        learned_LS = known.whole_gains[swept]
    for setting in covering(learned_LS, cost_S=space.num_samples_QS.mean(axis=0)):
        yield [Suggestion(pair, setting, space.num_epochs) for pair in pairs]


def covering(gains_LS: FloatArray, *, cost_S: FloatArray) -> list[int]:
    """Return all settings, each the one that adds most per cost to the best of those before it.

    Args:
        gains_LS: Of the pairs that are learned from; NaN where a setting was not tried.
        cost_S: Of a trial of each setting.
    """
    known_LS = np.where(np.isnan(gains_LS), -np.inf, gains_LS)
    # What adds nothing more comes last, the better on average first.
    mean_S = np.where(np.isneginf(known_LS), 0.0, known_LS).mean(axis=0)
    best_L = np.zeros(len(gains_LS))
    left, order = list(range(len(cost_S))), []
    while left:
        added_S = np.maximum(known_LS - best_L[:, None], 0).mean(axis=0) / cost_S
        chosen = max(left, key=lambda setting: (added_S[setting], mean_S[setting]))
        left.remove(chosen)
        order.append(chosen)
        best_L = np.maximum(best_L, known_LS[:, chosen])
    return order
