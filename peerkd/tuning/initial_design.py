"""The initial design: the first suggestions of a tuner that has neither experience nor earlier sweeps."""

from collections.abc import Iterator, Sequence
from typing import Final

from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import Space

_NUM_PAIRS: Final = 5
_MAX_WEIGHT: Final = 0.5
"""The maximum distillation weight in the initial design. Larger ones are rarely good, and can be suggested later."""

_GOLDEN_SECTION: Final = 0.6180339887
"""The step of the additive recurrence modulo 1 whose first n members are evenly spread over [0, 1), for every n."""


def initial_design(space: Space, pairs: Sequence[int]) -> Iterator[Suggestion]:
    """Yield whole trials of a few pairs on every transfer set, with settings that vary from pair to pair.

    The acquisition function values an observation by its effect on its own pair, and ignores what it shows about all
    other pairs. The tuner therefore first measures what all pairs have in common.

    Args:
        space: The space.
        pairs: The pairs, in the order in which they are used.
    """
    by_set: dict[str, list[int]] = {}
    for place, setting in enumerate(space.settings):
        if setting.distillation_weight <= _MAX_WEIGHT or not TRANSFER_SETS[setting.transfer_set].uses_labels:
            by_set.setdefault(setting.transfer_set, []).append(place)
    for number, pair in enumerate(pairs[:_NUM_PAIRS]):
        for places in by_set.values():
            share = (0.5 + number * _GOLDEN_SECTION) % 1
            yield Suggestion(pair, places[int(share * len(places))], space.num_epochs)
