"""What to measure before anything else, when nothing is known of an experiment like this."""

from collections.abc import Iterator, Sequence
from typing import Final

from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.tuning.protocol import Ask
from peerkd.tuning.space import Space

_NUM_PAIRS: Final = 5
_MAX_WEIGHT: Final = 0.5
"""Much distillation is rarely good; where it is, later measurements will find out."""

_GOLDEN_SECTION: Final = 0.6180339887
"""Steps of it visit a grid evenly, however many steps there are."""


def first_asks(space: Space, pairs: Sequence[int]) -> Iterator[Ask]:
    """Yield whole trials of a few pairs on every transfer set, with settings that vary from pair to pair.

    The worth of a single measurement does not count what it tells of all other pairs. So what pairs have in common is
    measured first.

    Args:
        space: What can be tried.
        pairs: In the order in which they are taken.
    """
    by_set: dict[str, list[int]] = {}
    for place, setting in enumerate(space.settings):
        if setting.distillation_weight <= _MAX_WEIGHT or not TRANSFER_SETS[setting.transfer_set].uses_labels:
            by_set.setdefault(setting.transfer_set, []).append(place)
    for number, pair in enumerate(pairs[:_NUM_PAIRS]):
        for places in by_set.values():
            share = (0.5 + number * _GOLDEN_SECTION) % 1
            yield Ask(pair, places[int(share * len(places))], space.num_epochs)
