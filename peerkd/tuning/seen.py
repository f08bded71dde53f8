"""What validation has shown of trials, after which epoch it was best, and which choices a limit on forgetting leaves.

Shape suffixes: Q = ordered pairs, E = epochs of a trial.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from peerkd.results.arrays import BoolArray, FloatArray, IntArray
from peerkd.tuning.space import NO_SETTING


class Seen(NamedTuple):
    """Of one trial, as far as it was done."""

    gain: float
    """As ``Objective.worth`` has it: what a tuner is told."""

    is_allowed: bool = True
    """Whether it keeps within the limit on forgetting."""

    num_epochs: int = 0
    """After which this was seen: as far as the trial was done, or the best to stop after where that is chosen."""

    is_finite: bool = True
    """Whether the trial did not diverge."""


def diverged(num_epochs: int) -> Seen:
    """Return what is seen of a trial that diverged: a gain of -1, which is never allowed as a choice."""
    return Seen(-1.0, is_allowed=False, num_epochs=num_epochs, is_finite=False)


def best_epochs(worth_E: FloatArray, is_allowed_E: BoolArray) -> IntArray:
    """Return after each epoch the place of the best one until then: one that is allowed, the first of equal ones.

    Args:
        worth_E: As ``Objective.worth`` has it, from -1 to 1; any axes may come before that of the epochs.
        is_allowed_E: Of the same shape.
    """
    # Whatever is allowed comes before whatever is not.
    rank_E = np.where(is_allowed_E, worth_E, worth_E - 4)
    earlier_E = np.maximum.accumulate(rank_E, axis=-1)[..., :-1]
    is_new_E = np.concatenate([np.ones_like(rank_E[..., :1], dtype=np.bool_), rank_E[..., 1:] > earlier_E], axis=-1)
    places_E: IntArray = np.maximum.accumulate(np.where(is_new_E, np.arange(rank_E.shape[-1]), 0), axis=-1)
    return places_E


def better(first: Seen, second: Seen) -> Seen:
    """Return the one of two stops of a trial that is better, by the rule of ``best_epochs``; ``first`` was earlier.

    A trial that has diverged since is not chosen at an earlier stop either: its setting is too close to divergence.
    """
    if not second.is_finite:
        return second
    return second if (second.is_allowed, second.gain) > (first.is_allowed, first.gain) else first


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
    for (pair, setting), shown in sorted(seen.items()):
        if is_forbidden_Q[pair] and shown.is_allowed and shown.gain > gain_Q[pair]:
            best_Q[pair], gain_Q[pair] = setting, shown.gain
    return np.where(is_forbidden_Q, best_Q, choices_Q)


def only_seen(choices_Q: IntArray, seen: Mapping[tuple[int, int], Seen]) -> IntArray:
    """Return choices in which those that were not measured are to leave the student: nobody has seen what they cost."""
    return np.array(
        [setting if (pair, setting) in seen else NO_SETTING for pair, setting in enumerate(choices_Q.tolist())],
        dtype=choices_Q.dtype,
    )


def _is_allowed(key: tuple[int, int], seen: Mapping[tuple[int, int], Seen]) -> bool:
    return key not in seen or seen[key].is_allowed
