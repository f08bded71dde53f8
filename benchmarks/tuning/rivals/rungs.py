"""Rungs, by which many settings of a pair are trained for few epochs, the best for more, and the last to the end."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.tuning.rivals.known import Known
from benchmarks.tuning.rivals.script import Script
from peerkd.seeds import generator
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import Space

ETA: Final = 3
"""The reduction factor: one setting in ``ETA`` is promoted to the next rung, which trains ``ETA`` times the epochs."""


def num_promotions(num_epochs: int) -> int:
    """Return how often settings can be promoted from the first epoch to the last of a whole trial."""
    num = 0
    while ETA ** (num + 1) <= num_epochs:
        num += 1
    return num


def bracket(known: Known, pair: int, settings: Sequence[int], *, num_promotions: int) -> Script:
    """Yield the rungs of one bracket for one pair, one after the other."""
    for rung in range(num_promotions + 1):
        num_epochs = max(round(known.space.num_epochs / ETA ** (num_promotions - rung)), 1)
        asks = [Suggestion(pair, setting, num_epochs) for setting in settings]
        yield asks
        settings = [ask.setting for ask in known.best_first(asks)[: max(len(asks) // ETA, 1)]]


def in_turns(known: Known, sizes: Sequence[tuple[int, int]], *, seed: int, name: str) -> Iterator[Script]:
    """Yield a script for each pair, in random order. In each of its turns it runs a bracket of random settings.

    Args:
        known: The observations of the rival.
        sizes: The number of settings and of promotions of each bracket. After the last bracket the first one follows.
        seed: Seed of the rival.
        name: Name of the rival.
    """
    for pair in shuffled_pairs(known.space, seed=seed, name=name):
        yield _brackets(known, pair, sizes, seed=seed, name=name)


def shuffled_pairs(space: Space, *, seed: int, name: str) -> list[int]:
    """Return all pairs in a random order."""
    pairs: list[int] = generator(seed, "tuner", name, "pairs").permutation(space.num_pairs).tolist()
    return pairs


def hyperband_sizes(num_epochs: int) -> list[tuple[int, int]]:
    """Return the brackets of Hyperband, from the one that promotes most to the one that trains all to the end."""
    most = num_promotions(num_epochs)
    return [(math.ceil((most + 1) / (each + 1) * ETA**each), each) for each in range(most, -1, -1)]


def _brackets(known: Known, pair: int, sizes: Sequence[tuple[int, int]], *, seed: int, name: str) -> Script:
    left = generator(seed, "tuner", name, pair).permutation(len(known.space.settings)).tolist()
    number = 0
    while left:
        num_settings, promotions = sizes[number % len(sizes)]
        yield from bracket(known, pair, left[:num_settings], num_promotions=promotions)
        yield ()
        left, number = left[num_settings:], number + 1
