"""Curves of several runs as one: their mean at each epoch, and from the lowest to the highest."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.results.curves import Curve


class Band(NamedTuple):
    """Mean, minimum and maximum over runs, at the epochs at which all were measured."""

    epochs: IntArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray


def band(curves: Sequence[Curve]) -> Band | None:
    """Return the band of some curves, None if they have no epoch in common with a value in each."""
    if not curves:
        return None
    known = [curve.epochs[~np.isnan(curve.values)] for curve in curves]
    epochs = known[0]
    for other in known[1:]:
        epochs = np.intersect1d(epochs, other)
    if not epochs.size:
        return None
    values = np.array([curve.values[np.searchsorted(curve.epochs, epochs)] for curve in curves])
    return Band(epochs, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def thin(curves: Band, *, num: int) -> Band:
    """Return at most ``num`` of the epochs, evenly spread, with the first and the last."""
    size = len(curves.epochs)
    if size <= num:
        return curves
    places = np.unique(np.linspace(0, size - 1, num).round().astype(np.int64))
    return Band(curves.epochs[places], curves.mean[places], curves.low[places], curves.high[places])


def since(whole: Band, *, epoch: int) -> Band:
    """Return the band from an epoch on, or its last epoch alone if it ends before."""
    first = min(int(np.searchsorted(whole.epochs, epoch)), len(whole.epochs) - 1)
    return Band(whole.epochs[first:], whole.mean[first:], whole.low[first:], whole.high[first:])
