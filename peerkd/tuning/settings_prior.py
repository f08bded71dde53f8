"""What is believed of gains before anything is tried: by setting, and by how much of a trial has been done.

Gains are handled in points (hundredths), compressed below 0: how bad a bad setting is does not matter. The numbers
here were fitted by marginal likelihood to full sweeps of digits that no result is reported on; one scale over all of
them is estimated anew in each study (``Posterior``).

Shape suffixes: S = settings, E = epochs of a whole trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from peerkd.results.arrays import FloatArray
from peerkd.tuning.space import SettingOnSet

_POINTS: Final = 100.0
_COMPRESSION_POINTS: Final = 6.0
"""Losses beyond about this many points count as the logarithm of themselves."""


class _SetPrior(NamedTuple):
    """Of the gains on one transfer set, in points."""

    mean: float
    relative_spread: float
    early_offset: float
    """What a trial is ahead before it begins, to be multiplied by the share of its epochs that is left."""

    early_sd: float
    """How far a trial may still move, likewise."""


_FITTED: Final[Mapping[str, _SetPrior]] = {
    "student": _SetPrior(mean=-1.0, relative_spread=0.9, early_offset=-0.5, early_sd=4.0),
    "teacher": _SetPrior(mean=-5.0, relative_spread=1.4, early_offset=0.0, early_sd=13.0),
    "both": _SetPrior(mean=-2.0, relative_spread=1.4, early_offset=-10.0, early_sd=17.0),
}

_NOT_FITTED: Final = _SetPrior(mean=-2.0, relative_spread=1.4, early_offset=-5.0, early_sd=13.0)
"""The prior of every other kind of transfer set: about that of the union."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoothness:
    """How gains under two settings go together. All shares are between 0 and 1."""

    across_sets_share: float
    """Of the variance, what the transfer sets have in common."""

    constant_share: float
    """Of the variance within a set, what temperature and weight do not change."""

    log2_temperature_length: float = 1.9
    weight_length: float = 0.25
    log2_rate_length: float = 1.5
    """Fitted to one sweep of digits with six peers."""


ACROSS_PAIRS: Final = Smoothness(across_sets_share=0.25, constant_share=0.55)
"""Of what similar pairs have in common."""

OF_ALL_PAIRS: Final = Smoothness(across_sets_share=0.5, constant_share=0.5, log2_temperature_length=1.2)
WITHIN_PAIR: Final = Smoothness(across_sets_share=0.1, constant_share=0.6)
"""Of what is a pair's own."""


def compress(gains: FloatArray) -> FloatArray:
    """Return gains (fractions) in points, losses compressed."""
    points = gains * _POINTS
    losses = -_COMPRESSION_POINTS * np.log1p(-np.minimum(points, 0.0) / _COMPRESSION_POINTS)
    return np.where(points > 0, points, losses)


def expand(points: FloatArray) -> FloatArray:
    """Return fractions; undoes ``compress``."""
    losses = -_COMPRESSION_POINTS * np.expm1(-np.minimum(points, 0.0) / _COMPRESSION_POINTS)
    return np.where(points > 0, points, losses) / _POINTS


def set_means(settings: Sequence[SettingOnSet]) -> FloatArray:
    """Return the prior mean of each setting's gain: (S,), in compressed points."""
    return np.array([_set_prior(setting).mean for setting in settings])


def covariance(settings: Sequence[SettingOnSet], smoothness: Smoothness) -> FloatArray:
    """Return how gains under two settings vary together: (S, S), about 1 on the diagonal."""
    sets_S = np.array([setting.transfer_set for setting in settings])
    spread_S = np.array([_set_prior(setting).relative_spread for setting in settings])
    squared_SS = _squared_distances(settings, smoothness)
    shared, constant = smoothness.across_sets_share, smoothness.constant_share
    same_set_SS = shared + (1 - shared) * (sets_S[:, None] == sets_S[None, :])
    correlation_SS = same_set_SS * (constant + (1 - constant) * np.exp(-squared_SS / 2))
    covariance_SS: FloatArray = correlation_SS * np.multiply.outer(spread_S, spread_S)
    return covariance_SS


def similarity(settings: Sequence[SettingOnSet]) -> FloatArray:
    """Return how similar settings are in temperature, weight and learning rate, on any set: (S, S), at most 1."""
    similarity_SS: FloatArray = np.exp(-_squared_distances(settings, WITHIN_PAIR) / 2)
    return similarity_SS


def _set_prior(setting: SettingOnSet) -> _SetPrior:
    return _FITTED.get(setting.transfer_set, _NOT_FITTED)


def _squared_distances(settings: Sequence[SettingOnSet], smoothness: Smoothness) -> FloatArray:
    temperature_S = np.log2([setting.temperature for setting in settings]) / smoothness.log2_temperature_length
    weight_S = np.array([setting.distillation_weight for setting in settings]) / smoothness.weight_length
    # Where there is one learning rate, none is named, and they are all the same.
    rate_S = np.log2([setting.learning_rate or 1.0 for setting in settings]) / smoothness.log2_rate_length
    squared_SS: FloatArray = np.subtract.outer(temperature_S, temperature_S) ** 2
    squared_SS += np.subtract.outer(weight_S, weight_S) ** 2
    squared_SS += np.subtract.outer(rate_S, rate_S) ** 2
    return squared_SS


def early_offsets(settings: Sequence[SettingOnSet], *, num_epochs: int) -> FloatArray:
    """Return how far gains are ahead of those of whole trials after each epoch: (S, E), in compressed points."""
    offset_S = np.array([_set_prior(setting).early_offset for setting in settings])
    return offset_S[:, None] * _left(num_epochs)


def early_sds(settings: Sequence[SettingOnSet], *, num_epochs: int) -> FloatArray:
    """Return how far gains may still move after each epoch: (S, E), 0 at the last, in compressed points."""
    sd_S = np.array([_set_prior(setting).early_sd for setting in settings])
    return sd_S[:, None] * _left(num_epochs)


def _left(num_epochs: int) -> FloatArray:
    left_E: FloatArray = 1 - np.arange(1, num_epochs + 1) / num_epochs
    return left_E
