"""How sure a mean over pairs is.

Pairs are not independent: those with one student share its accuracy before, those with one teacher what it knows.
So peers are drawn with replacement, not pairs, and every ordered pair of two different drawn peers counts (the
vertex bootstrap of Snijders and Borgatti 1999, Connections 22:161). An interval says what other peers of the same
partition might give; it does not know other seeds. Where one student or teacher decides everything it is somewhat
narrow: simulated, it holds the truth in 87 % of cases with 10 peers, in 92 % with 20; where pairs differ on their
own it is wide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray

MIN_PEERS: Final = 4
"""With fewer, most draws hold the same one or two pairs and an interval would only look like one."""

_NUM_DRAWS: Final = 2000
_SEED: Final = 0
_COVERAGE_PCT: Final = 95.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; the bounds are NaN where there are too few peers for one."""

    value: float
    low: float
    high: float
    num: int
    """Of pairs behind the value."""

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0

    @property
    def is_below_zero(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high < 0


def mean_over_pairs(values_PP: FloatArray) -> Estimate:
    """Return the mean of the entries that are not NaN, with its interval.

    A peer without any value, such as one that diverged, is not drawn.

    Args:
        values_PP: (num_peers, num_peers), NaN on the diagonal and where a pair has no value.
    """
    has_value_P = ~np.isnan(values_PP).all(axis=0) | ~np.isnan(values_PP).all(axis=1)
    values_PP = values_PP[np.ix_(has_value_P, has_value_P)]
    known_PP = ~np.isnan(values_PP)
    num = int(known_PP.sum())
    if not num:
        return Estimate(np.nan, np.nan, np.nan, 0)
    value = float(values_PP[known_PP].mean())
    weights = np.array([np.bincount(peers, minlength=len(values_PP)) for peers in _draws(len(values_PP))], dtype=float)
    sums = np.einsum("dp,pq,dq->d", weights, np.where(known_PP, values_PP, 0), weights, optimize=True)
    totals = np.einsum("dp,pq,dq->d", weights, known_PP.astype(float), weights, optimize=True)
    return _estimate(value, sums[totals > 0] / totals[totals > 0], num=num, num_peers=len(values_PP))


def over_pairs(statistic: Callable[[FloatArray, FloatArray], float], x_PP: FloatArray, y_PP: FloatArray) -> Estimate:
    """Return a statistic of two quantities of the pairs that have both, with its interval.

    Args:
        statistic: Of the values of both quantities, one entry a pair.
        x_PP: (num_peers, num_peers), NaN where a pair has no value; the diagonal is not looked at.
        y_PP: As ``x_PP``.
    """
    is_known_PP = ~np.isnan(x_PP) & ~np.isnan(y_PP) & ~np.eye(len(x_PP), dtype=np.bool_)
    has_value_P = is_known_PP.any(axis=0) | is_known_PP.any(axis=1)
    kept = np.ix_(has_value_P, has_value_P)
    x_PP, y_PP, is_known_PP = x_PP[kept], y_PP[kept], is_known_PP[kept]
    num_peers = len(x_PP)

    def of(peers: IntArray) -> float:
        rows, columns = np.nonzero(is_known_PP[np.ix_(peers, peers)])
        pairs = peers[rows], peers[columns]
        return statistic(x_PP[pairs], y_PP[pairs]) if len(rows) > 1 else np.nan

    draws = np.array([of(peers) for peers in _draws(num_peers)])
    return _estimate(of(np.arange(num_peers)), draws[~np.isnan(draws)], num=int(is_known_PP.sum()), num_peers=num_peers)


def _draws(num_peers: int) -> IntArray:
    if num_peers == 0:
        return np.empty((0, 0), dtype=np.int64)
    # One seed for every interval: differences between them are then not those of the draws.
    draws: IntArray = np.random.default_rng(_SEED).integers(num_peers, size=(_NUM_DRAWS, num_peers))
    holds_a_pair = (draws != draws[:, :1]).any(axis=1)
    usable: IntArray = draws[holds_a_pair]
    return usable


def _estimate(value: float, draws: FloatArray, *, num: int, num_peers: int) -> Estimate:
    if num_peers < MIN_PEERS or not draws.size:
        return Estimate(value, np.nan, np.nan, num)
    tail_pct = (100 - _COVERAGE_PCT) / 2
    low, high = np.percentile(draws, [tail_pct, 100 - tail_pct])
    return Estimate(value, float(low), float(high), num)
