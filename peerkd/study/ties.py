"""The rule that decides between equally good settings.

On a validation set of a few hundred samples, an accuracy can have only a few hundred values. Ties for the best setting
are therefore common among dozens of settings. A tie is no evidence for a change, so it goes to the setting that changes
the fewest hyper-parameters of the untuned default. If several settings change equally few hyper-parameters, the tie
goes to the setting with the default's loss and target, and then to the first in the order of the table. Without this
rule, the settings that the grid lists first would seem to be better than all other settings.

Shape suffixes: N = settings or trials; values may have further axes before that of the settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peerkd.study.defaults import DEFAULT_TEMPERATURE, UntunedDefault, default_weight

SAME_ACCURACY: Final = 1e-9
"""The tolerance within which two accuracies count as equal. On one evaluation set, different numbers of right answers
give accuracies that differ by much more, so a smaller difference is a rounding error. The same holds for gains."""

CHANGE_COLUMNS: Final = ("transfer_set", "temperature", "distillation_weight", "learning_rate", "loss", "target")
"""The columns of settings or trials from which ``ranks`` are computed."""

_NUM_DIGITS: Final = 9


def is_above(first: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
    """Return elementwise whether the first accuracy or gain is above the second by more than ``SAME_ACCURACY``."""
    above: NDArray[np.bool_] = np.asarray(first) > np.asarray(second) + SAME_ACCURACY
    return above


def is_at_least(first: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
    """Return elementwise whether the first accuracy or gain is above the second, or equal within ``SAME_ACCURACY``."""
    at_least: NDArray[np.bool_] = np.asarray(first) >= np.asarray(second) - SAME_ACCURACY
    return at_least


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values rounded for sorting, so that values that differ only by rounding errors become equal."""
    return values.round(_NUM_DIGITS)


def best(values_N: NDArray[np.float64], ranks_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of the best value along the last axis. Ties are broken by the rule of this module.

    Args:
        values_N: At least one value; -inf for a setting that may only be chosen if no other setting exists.
        ranks_N: The result of ``ranks`` for each position of the last axis.
    """
    order_N = np.argsort(ranks_N, kind="stable")
    ordered_N = values_N[..., order_N]
    is_tied_N = is_at_least(ordered_N, ordered_N.max(axis=-1, keepdims=True))
    positions: NDArray[np.int64] = order_N[is_tied_N.argmax(axis=-1)]
    return positions


def ranks(columns: Mapping[str, Sequence[Any] | NDArray[Any]], *, default: UntunedDefault) -> NDArray[np.int64]:
    """Return the rank of each setting in ties, as an array of shape (N,). The lowest rank wins a tie.

    The untuned default has rank 0. The more values of a setting differ from the untuned default, the higher is its
    rank. If two settings differ in equally many values, the setting with another loss or target than the default has
    the higher rank. The values are the temperature, the weight of the divergence, the learning rate, the loss, the
    target and the transfer set.

    Args:
        columns: The columns of ``CHANGE_COLUMNS``, and others, which are ignored. A missing value is None or NaN. A
            missing temperature counts as a change, because only fine-tuning has none. No other missing value counts.
        default: The untuned default. The weight of the default depends on the kind of transfer set.
    """
    names = columns["transfer_set"]
    temperature_N, weight_N, rate_N = (
        _floats(columns[name]) for name in ("temperature", "distillation_weight", "learning_rate")
    )
    changes_N: NDArray[np.int64] = (temperature_N != DEFAULT_TEMPERATURE).astype(np.int64)
    listed = np.asarray(names).tolist()
    default_weights = {name: default_weight(name) for name in set(listed)}
    changes_N += weight_N != np.array([default_weights[name] for name in listed])
    changes_N += ~np.isnan(rate_N) & (rate_N != _floats(default.learning_rate))
    if default.transfer_set is not None:
        changes_N += np.asarray(names) != default.transfer_set
    by_name_N = np.zeros_like(changes_N)
    for name, usual in (("loss", default.loss), ("target", default.target)):
        values = np.asarray(columns[name], dtype=np.object_).tolist()
        by_name_N += np.array([value is not None and value != usual for value in values], dtype=np.bool_)
    # At most loss and target are changed by name, so their number only decides between equal numbers of changes.
    return 3 * (changes_N + by_name_N) + by_name_N


def _floats(values: Any) -> NDArray[np.float64]:
    """Return numbers, or a number, as an array of floats, with NaN in place of None."""
    return np.asarray(values, dtype=np.float64)
