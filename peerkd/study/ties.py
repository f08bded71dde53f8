"""The rule that decides between equally good settings.

A validation set of a few hundred samples allows few different accuracies, so among dozens of settings ties for the best
are common. A tie is no evidence for a change, so it goes to the setting that changes the fewest hyper-parameters of the
untuned default, and then to the first in the order of the table. Without this rule, the settings that the grid lists
first would look preferred.

Shape suffixes: N = settings or trials; values may have further axes before that of the settings.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peerkd.study.defaults import DEFAULT_TEMPERATURE, default_weight

SAME_ACCURACY: Final = 1e-9
"""The tolerance of a comparison. Accuracies are counts divided by one number, so two accuracies that differ by less are
the same count. The same holds for their differences and means."""

_NUM_DIGITS: Final = 9


def is_above(first: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
    """Return where the first accuracy or gain is larger than the second, and not the same."""
    above: NDArray[np.bool_] = np.asarray(first) > np.asarray(second) + SAME_ACCURACY
    return above


def is_at_least(first: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
    """Return where the first accuracy or gain is larger than the second, or the same."""
    at_least: NDArray[np.bool_] = np.asarray(first) >= np.asarray(second) - SAME_ACCURACY
    return at_least


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values rounded for sorting, so that values that differ only by rounding errors become equal."""
    return values.round(_NUM_DIGITS)


def best(values_N: NDArray[np.float64], num_changes_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of the best value along the last axis, ties by the rule of this module.

    Args:
        values_N: At least one value; -inf for a setting that may only be chosen if no other setting exists.
        num_changes_N: For each position of the last axis, as ``num_changes`` returns it.
    """
    order_N = np.argsort(num_changes_N, kind="stable")
    ordered_N = values_N[..., order_N]
    is_tied_N = is_at_least(ordered_N, ordered_N.max(axis=-1, keepdims=True))
    positions: NDArray[np.int64] = order_N[is_tied_N.argmax(axis=-1)]
    return positions


def num_changes(
    transfer_sets: Sequence[str] | NDArray[np.str_],
    temperatures: Sequence[float | None] | NDArray[np.float64],
    weights: Sequence[float] | NDArray[np.float64],
    learning_rates: Sequence[float | None] | NDArray[np.float64],
    *,
    default_transfer_set: str | None,
    default_learning_rate: float | None,
) -> NDArray[np.int64]:
    """Return how many of temperature, weight, learning rate and transfer set differ from the untuned default: (N,).

    Args:
        transfer_sets: The kind of each setting's transfer set.
        temperatures: None or NaN for a control.
        weights: Weights of the divergence. The weight of the default depends on the kind of transfer set.
        learning_rates: None or NaN if the experiment tries only one.
        default_transfer_set: The default's kind of transfer set. None: the kind is not counted.
        default_learning_rate: The default's rate, if the experiment tries several.
    """
    temperature_N, weight_N, rate_N = (_floats(each) for each in (temperatures, weights, learning_rates))
    changes_N: NDArray[np.int64] = (temperature_N != DEFAULT_TEMPERATURE).astype(np.int64)
    changes_N += weight_N != np.array([default_weight(name) for name in transfer_sets])
    changes_N += ~np.isnan(rate_N) & (rate_N != _floats(default_learning_rate))
    if default_transfer_set is not None:
        changes_N += np.asarray(transfer_sets) != default_transfer_set
    return changes_N


def _floats(values: Any) -> NDArray[np.float64]:
    """Return numbers as an array, NaN in place of None."""
    return np.asarray(values, dtype=np.float64)
