"""What validation has shown of trials, and which choices a limit on forgetting leaves by it.

Shape suffixes: Q = ordered pairs.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from peerkd.results.arrays import IntArray
from peerkd.tuning.space import NO_SETTING


class Seen(NamedTuple):
    """Of one trial, as far as it was done."""

    gain: float
    """As ``Objective.worth`` has it: what a tuner is told."""

    is_allowed: bool = True
    """Whether it keeps within the limit on forgetting."""


def without_forbidden(choices_Q: IntArray, seen: Mapping[tuple[int, int], Seen]) -> IntArray:
    """Return choices in which none is one that was seen not to be allowed.

    In its place comes the pair's best setting that was seen to be allowed and to gain, or leaving the student as it
    is. A tuner smooths what it is told, so it may go on believing in a setting that just fails.

    Args:
        choices_Q: Settings, or ``NO_SETTING``.
        seen: By pair and setting.
    """
    is_forbidden_Q = np.array([not _is_allowed(key, seen) for key in enumerate(choices_Q.tolist())], dtype=np.bool_)
    best_Q, gain_Q = np.full_like(choices_Q, NO_SETTING), np.zeros(len(choices_Q))
    for (pair, setting), (gain, is_allowed) in sorted(seen.items()):
        if is_forbidden_Q[pair] and is_allowed and gain > gain_Q[pair]:
            best_Q[pair], gain_Q[pair] = setting, gain
    return np.where(is_forbidden_Q, best_Q, choices_Q)


def only_seen(choices_Q: IntArray, seen: Mapping[tuple[int, int], Seen]) -> IntArray:
    """Return choices in which those that were not measured are to leave the student: nobody has seen what they cost."""
    return np.array(
        [setting if (pair, setting) in seen else NO_SETTING for pair, setting in enumerate(choices_Q.tolist())],
        dtype=choices_Q.dtype,
    )


def _is_allowed(key: tuple[int, int], seen: Mapping[tuple[int, int], Seen]) -> bool:
    return key not in seen or seen[key].is_allowed
