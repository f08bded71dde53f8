"""The importance of each dimension of a sweep: the share of the variance of the gains that one dimension explains.

The share of a dimension d is the correlation ratio eta^2 = sum_g n_g (m_g - m)^2 / sum_i (x_i - m)^2. Here x_i are the
gains of all trials, m is their mean, g runs over the values of d, and n_g and m_g are the number and the mean of the
gains with the value g. If every combination of values was tried equally often, this is the share of the main effect of
d in a functional analysis of variance (Hutter, Hoos and Leyton-Brown 2014, ICML, section 3). What the dimensions do not
explain alone is interaction and noise.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from peerkd.arrays import FloatArray


def importance(gain_N: FloatArray, dimensions: Mapping[str, Sequence[object]]) -> dict[str, float]:
    """Return the share of the variance that each dimension explains alone, from 0 to 1.

    Args:
        gain_N: The gains of N trials. Trials whose gain is NaN are left out.
        dimensions: The value of each trial in each dimension, by name of the dimension. A dimension with one value is
            left out. The values can be of any type with an equality and a hash.

    Returns:
        The shares by name of the dimension, in the given order. Empty if all gains are equal or fewer than two exist.
    """
    is_known = ~np.isnan(gain_N)
    known = gain_N[is_known]
    if known.size < 2 or not np.ptp(known):
        return {}
    mean = known.mean()
    total = float(((known - mean) ** 2).sum())
    shares = {}
    for name, values in dimensions.items():
        numbers: dict[object, int] = {}
        group_N = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)[is_known]
        counts, sums = np.bincount(group_N), np.bincount(group_N, weights=known)
        if np.count_nonzero(counts) < 2:
            continue
        counts, sums = counts[counts > 0], sums[counts > 0]
        shares[name] = float((counts * (sums / counts - mean) ** 2).sum() / total)
    return shares
