"""The results of trials on validation data: the best epoch of a trial, and the choices that a limit allows.

Shape suffixes: Q = ordered pairs, E = epochs of a trial.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.tuning.space import NO_SETTING


class ValidationResult(NamedTuple):
    """The result of one trial on validation data, after the epochs for which the trial has been trained."""

    gain: float
    """The gain that a tuner observes, as ``Objective.penalised_gains`` computes it."""

    is_allowed: bool = True
    """Whether the trial stays within the limit on forgetting."""

    num_epochs: int = 0
    """The number of epochs after which the result was measured.

    It is the last epoch or, if the study chooses epochs, the best one."""

    is_finite: bool = True
    """Whether the trial stayed finite. False if it diverged."""


def diverged(num_epochs: int) -> ValidationResult:
    """Return the result of a trial that diverged: its gain is -1, and it is not allowed as a choice."""
    return ValidationResult(-1.0, is_allowed=False, num_epochs=num_epochs, is_finite=False)


def best_epochs(gains_E: FloatArray, is_allowed_E: BoolArray) -> IntArray:
    """Return the index of the best epoch so far, for each epoch.

    An allowed epoch is better than one that is not allowed. Of equally good epochs, the first counts.

    Args:
        gains_E: The gain after each epoch, from -1 to 1, as ``Objective.penalised_gains`` computes it. Other axes may
            precede the axis of epochs.
        is_allowed_E: Whether each epoch satisfies the limit on forgetting: an array of the same shape.
    """
    # Gains are within [-1, 1], so subtracting 4 ranks every epoch that is not allowed below all that are.
    rank_E = np.where(is_allowed_E, gains_E, gains_E - 4)
    earlier_E = np.maximum.accumulate(rank_E, axis=-1)[..., :-1]
    is_new_E = np.concatenate([np.ones_like(rank_E[..., :1], dtype=np.bool_), rank_E[..., 1:] > earlier_E], axis=-1)
    places_E: IntArray = np.maximum.accumulate(np.where(is_new_E, np.arange(rank_E.shape[-1]), 0), axis=-1)
    return places_E


def better(first: ValidationResult, second: ValidationResult) -> ValidationResult:
    """Return the better of two results of one trial, of which ``first`` is the earlier one.

    An allowed result is better than a result that is not allowed. Otherwise, the result with the higher gain is better,
    and of two equal results, ``first`` is returned. If ``second`` shows that the trial has diverged, ``second`` is
    returned even if ``first`` is good, because the setting is too close to divergence.
    """
    if not second.is_finite:
        return second
    return second if (second.is_allowed, second.gain) > (first.is_allowed, first.gain) else first


def without_forbidden(choices_Q: IntArray, results: Mapping[tuple[int, int], ValidationResult]) -> IntArray:
    """Replace choices whose result on validation data is not allowed.

    Each of them is replaced by the pair's best setting with an allowed result and a gain above 0 or, if there is none,
    by ``NO_SETTING``. The tuner alone does not ensure this: it smooths over observations, so it may continue to choose
    a setting that exceeds the limit by little.

    Args:
        choices_Q: The indices of the chosen settings, or ``NO_SETTING``.
        results: The results by pair and setting.
    """
    is_forbidden_Q = np.array([not _is_allowed(key, results) for key in enumerate(choices_Q.tolist())], dtype=np.bool_)
    best_Q, gain_Q = np.full_like(choices_Q, NO_SETTING), np.zeros(len(choices_Q))
    for (pair, setting), result in sorted(results.items()):
        if is_forbidden_Q[pair] and result.is_allowed and result.gain > gain_Q[pair]:
            best_Q[pair], gain_Q[pair] = setting, result.gain
    return np.where(is_forbidden_Q, best_Q, choices_Q)


def only_measured(choices_Q: IntArray, results: Mapping[tuple[int, int], ValidationResult]) -> IntArray:
    """Replace choices of settings that were not measured by ``NO_SETTING``.

    Without a measurement it is unknown whether a setting satisfies the limit on forgetting.
    """
    return np.array(
        [setting if (pair, setting) in results else NO_SETTING for pair, setting in enumerate(choices_Q.tolist())],
        dtype=choices_Q.dtype,
    )


def _is_allowed(key: tuple[int, int], results: Mapping[tuple[int, int], ValidationResult]) -> bool:
    return key not in results or results[key].is_allowed
