"""The prior mean and covariance of gains under different settings, and of gains after a part of a trial.

Gains are in compressed points: percentage points, where negative gains are on a logarithmic scale (``compress``),
because it does not matter how bad a bad setting is. The constants were fitted by marginal likelihood to full sweeps of
digits. No reported result uses these sweeps. Each study estimates anew one scale that all constants share
(``Posterior.scale``).

Shape suffixes: S = settings, E = epochs of a whole trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.tuning.space import SettingOnSet

_POINTS: Final = 100.0
_COMPRESSION_POINTS: Final = 6.0
"""The loss of accuracy, in points, beyond which compressed points grow only logarithmically."""


class _SetPrior(NamedTuple):
    """The prior of the gains on one transfer set, in points."""

    mean: float
    relative_spread: float
    early_offset: float
    """The expected early gain minus the final gain, divided by the fraction of epochs that remain."""

    early_sd: float
    """The standard deviation of early gain minus final gain, divided by the fraction of epochs that remain."""


_FITTED: Final[Mapping[str, _SetPrior]] = {
    "student": _SetPrior(mean=-1.0, relative_spread=0.9, early_offset=-0.5, early_sd=4.0),
    "teacher": _SetPrior(mean=-5.0, relative_spread=1.4, early_offset=0.0, early_sd=13.0),
    "both": _SetPrior(mean=-2.0, relative_spread=1.4, early_offset=-10.0, early_sd=17.0),
}

_NOT_FITTED: Final = _SetPrior(mean=-2.0, relative_spread=1.4, early_offset=-5.0, early_sd=13.0)
"""The prior for kinds of transfer sets to which no prior was fitted. It resembles the prior of ``both``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoothness:
    """The parameters of the kernel between two settings that ``covariance`` computes. All shares are from 0 to 1."""

    across_sets_share: float
    """The share of the variance that all transfer sets have in common."""

    constant_share: float
    """The share of the variance in a transfer set that does not depend on temperature, weight and learning rate."""

    log2_temperature_length: float = 1.9
    weight_length: float = 0.25
    log2_rate_length: float = 1.5
    """The length scale of the learning rate in octaves, which was fitted to one sweep of digits with six peers."""

    across_losses_share: float = 0.8
    """The share of the variance that settings with different losses have in common.

    It was not fitted. It is large, because most losses have the same minimum."""

    across_targets_share: float = 0.5
    """The share of the variance that settings with different targets have in common. It was not fitted."""


ACROSS_PAIRS: Final = Smoothness(across_sets_share=0.25, constant_share=0.55)
"""The kernel of the part of gains that similar pairs have in common."""

OF_ALL_PAIRS: Final = Smoothness(across_sets_share=0.5, constant_share=0.5, log2_temperature_length=1.2)
"""The kernel of the part of gains that all pairs have in common."""

WITHIN_PAIR: Final = Smoothness(across_sets_share=0.1, constant_share=0.6)
"""The kernel of the part of gains that is specific to one pair."""


def compress(gains: FloatArray) -> FloatArray:
    """Convert gains from fractions to compressed points.

    With ``p`` the gain in points and ``c = _COMPRESSION_POINTS``, this is ``p`` for ``p > 0``, else
    ``-c * log(1 - p / c)``: the slope is continuous, and a loss of ``p`` points counts as about ``c * log(|p| / c)``.
    """
    points = gains * _POINTS
    losses = -_COMPRESSION_POINTS * np.log1p(-np.minimum(points, 0.0) / _COMPRESSION_POINTS)
    return np.where(points > 0, points, losses)


def expand(points: FloatArray) -> FloatArray:
    """Convert gains from compressed points to fractions. This is the inverse of ``compress``."""
    losses = -_COMPRESSION_POINTS * np.expm1(-np.minimum(points, 0.0) / _COMPRESSION_POINTS)
    return np.where(points > 0, points, losses) / _POINTS


def set_means(settings: Sequence[SettingOnSet]) -> FloatArray:
    """Return the prior mean of the gain under each setting in compressed points, of shape (S,)."""
    return np.array([_set_prior(setting).mean for setting in settings])


def covariance(settings: Sequence[SettingOnSet], smoothness: Smoothness) -> FloatArray:
    """Return the prior covariance of gains under settings, of shape (S, S).

    The kernel is a product and sum of simple kernels (Rasmussen and Williams 2006, "Gaussian Processes for Machine
    Learning", section 4.2.4). For two settings x and y it is::

        k(x, y) = s(x) * s(y) * (b + (1 - b) * [same set]) * (c + (1 - c) * exp(-d2(x, y) / 2)) * q(x, y)

    - ``s`` is the relative spread of gains on the transfer set of a setting.
    - ``b`` is ``across_sets_share``, and [same set] is 1 if both settings have the same transfer set, else 0.
    - ``c`` is ``constant_share``, and ``d2`` is the squared distance between the settings in log2 temperature, weight
      and log2 learning rate, each divided by its length scale.
    - ``q`` is a product of two factors, one for the loss and one for the target. The factor is 1 if both settings have
      the same loss (target), else ``across_losses_share`` (``across_targets_share``).
    """
    sets_S = np.array([setting.transfer_set for setting in settings])
    spread_S = np.array([_set_prior(setting).relative_spread for setting in settings])
    squared_SS = _squared_distances(settings, smoothness)
    shared, constant = smoothness.across_sets_share, smoothness.constant_share
    same_set_SS = shared + (1 - shared) * (sets_S[:, None] == sets_S[None, :])
    correlation_SS = same_set_SS * (constant + (1 - constant) * np.exp(-squared_SS / 2))
    correlation_SS *= _categorical(settings, smoothness)
    covariance_SS: FloatArray = correlation_SS * np.multiply.outer(spread_S, spread_S)
    return covariance_SS


def similarity(settings: Sequence[SettingOnSet]) -> FloatArray:
    """Return the similarity between settings without regard to their transfer sets, of shape (S, S), at most 1."""
    similarity_SS: FloatArray = np.exp(-_squared_distances(settings, WITHIN_PAIR) / 2)
    return similarity_SS * _categorical(settings, WITHIN_PAIR)


def _categorical(settings: Sequence[SettingOnSet], smoothness: Smoothness) -> FloatArray:
    """Return the factor of the kernel for loss and target between settings, of shape (S, S).

    The factor is exactly 1 for two settings with the same loss and the same target.
    """
    factor_SS = np.ones((len(settings), len(settings)))
    for names, share in (
        ([each.loss or "" for each in settings], smoothness.across_losses_share),
        ([each.target or "" for each in settings], smoothness.across_targets_share),
    ):
        names_S = np.array(names)
        factor_SS *= np.where(names_S[:, None] == names_S[None, :], 1.0, share)
    return factor_SS


def _set_prior(setting: SettingOnSet) -> _SetPrior:
    return _FITTED.get(setting.transfer_set, _NOT_FITTED)


def _squared_distances(settings: Sequence[SettingOnSet], smoothness: Smoothness) -> FloatArray:
    temperature_S = np.log2([setting.temperature for setting in settings]) / smoothness.log2_temperature_length
    weight_S = np.array([setting.distillation_weight for setting in settings]) / smoothness.weight_length
    # A study with one learning rate leaves it out of the settings, so all distances are 0.
    rate_S = np.log2([setting.learning_rate or 1.0 for setting in settings]) / smoothness.log2_rate_length
    squared_SS: FloatArray = np.subtract.outer(temperature_S, temperature_S) ** 2
    squared_SS += np.subtract.outer(weight_S, weight_S) ** 2
    squared_SS += np.subtract.outer(rate_S, rate_S) ** 2
    return squared_SS


def early_offsets(settings: Sequence[SettingOnSet], *, num_epochs: int) -> FloatArray:
    """Return the expected gain after each epoch minus the gain of the whole trial.

    The result has the shape (S, E) and is in compressed points.
    """
    offset_S = np.array([_set_prior(setting).early_offset for setting in settings])
    return offset_S[:, None] * _left(num_epochs)


def early_sds(settings: Sequence[SettingOnSet], *, num_epochs: int) -> FloatArray:
    """Return the standard deviation of the change in gain from each epoch to the last epoch.

    It has the shape (S, E), is in compressed points, and is 0 for the last epoch.
    """
    sd_S = np.array([_set_prior(setting).early_sd for setting in settings])
    return sd_S[:, None] * _left(num_epochs)


def _left(num_epochs: int) -> FloatArray:
    """Return the fraction of the epochs that remain after each epoch, of shape (E,)."""
    left_E: FloatArray = 1 - np.arange(1, num_epochs + 1) / num_epochs
    return left_E
