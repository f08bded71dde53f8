"""A rival that tries the same few settings on all pairs. Together they contain a good setting for most pairs."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.rungs import shuffled_pairs
from benchmarks.tuning.rivals.script import Script, Scripted
from peerkd.arrays import FloatArray
from peerkd.tuning.protocol import EarlierSweep, Suggestion
from peerkd.tuning.space import Space

_SWEPT_SHARE: Final = 0.02
"""Fraction of the pairs that are swept in full at the start if there is no earlier sweep to learn from."""

_MIN_SWEPT: Final = 2


def build(space: Space, *, seed: int, earlier: Sequence[EarlierSweep]) -> Scripted:
    """Return the tuner.

    The order of the settings is learned from earlier experiments or, without any, from random pairs that are swept
    first. The next setting is always the one that increases the best gains of these pairs the most per cost. It is
    tried on all pairs before the one after it. A pair gets the best setting that it tried if that is a gain. A pair
    without a turn gets the setting that did best on the other pairs.
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
    """Return all settings. The next one is always the one that raises the best gains of the pairs most per cost.

    Args:
        gains_LS: Gains of the pairs to learn from; NaN for settings that were not tried.
        cost_S: Cost of a trial of each setting.
    """
    known_LS = np.where(np.isnan(gains_LS), -np.inf, gains_LS)
    # Settings that increase nothing come last, those with the highest mean first.
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
