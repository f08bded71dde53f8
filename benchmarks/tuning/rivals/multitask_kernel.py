"""The kernel of the rival ``multitask``, and the likelihood of its hyper-parameters.

Shape suffixes: P = pairs of the space and of earlier sweeps, S = settings, F = features, N = observations.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space

_CATEGORIES: Final = ("transfer_set", "loss", "target")
_SHARES: Final = (*_CATEGORIES, "own_share")


class Hypers(NamedTuple):
    """The hyper-parameters of the kernel. Gains are in compressed points."""

    sd: float = 5.0
    noise_sd: float = 1.0
    pair_length: float = 1.0
    """Length scale of the kernel between pairs. Its unit is the standard deviation of a feature times the root of the
    number of features."""

    own_share: float = 0.3
    """Share of the variance that belongs to each pair alone. Even pairs with equal features do not have it in
    common."""

    transfer_set: float = 0.5
    loss: float = 0.7
    target: float = 0.5
    """Correlation of two settings that differ only in the target. ``transfer_set`` and ``loss`` are the same for their
    category."""

    log2_temperature_length: float = 2.0
    weight_length: float = 0.5
    log2_rate_length: float = 2.0


def log_prior(hypers: Hypers) -> float:
    """Return the logarithm of the prior density of the hyper-parameters, without its constant term.

    Each hyper-parameter is independent. Its logarithm, or its logit if it is a share or a correlation, is normal with
    standard deviation 1 and has its mean at the default.
    """
    values, defaults = (
        np.array([_odds(each) if name in _SHARES else each for name, each in some._asdict().items()])
        for some in (hypers, Hypers())
    )
    return float(-((np.log(values / defaults)) ** 2).sum() / 2)


def candidates(hypers: Hypers, name: str) -> Iterator[Hypers]:
    """Yield copies of the hyper-parameters in which the one called ``name`` is smaller or larger."""
    value = getattr(hypers, name)
    if name in _SHARES:
        # On the scale of the logit, where 0 and 1 are infinitely far away.
        odds = _odds(value)
        yield from (hypers._replace(**{name: odds * factor / (1 + odds * factor)}) for factor in (0.4, 2.5))
    else:
        yield from (hypers._replace(**{name: value * factor}) for factor in (0.6, 1.6))


class Kernels:
    """The distances between all pairs and between all settings, from which kernels are computed."""

    def __init__(self, space: Space, earlier: Sequence[EarlierSweep]) -> None:
        spaces = [space, *(each.space for each in earlier)]
        names = [name for name in space.feature_names if all(name in each.feature_names for each in spaces)]
        features_PF = np.concatenate(
            [each.features_QF[:, [each.feature_names.index(name) for name in names]] for each in spaces]
        )
        sd_F = features_PF.std(axis=0)
        features_PF = features_PF[:, sd_F > 0] / (sd_F[sd_F > 0] * np.sqrt(max((sd_F > 0).sum(), 1)))
        squares_P = (features_PF**2).sum(axis=1)
        self._squared_PP = np.maximum(squares_P[:, None] + squares_P - 2 * features_PF @ features_PF.T, 0)
        settings = space.settings
        self._is_other_SS = {}
        for name in _CATEGORIES:
            names_S = np.array([getattr(each, name) or "" for each in settings])
            self._is_other_SS[name] = names_S[:, None] != names_S
        self._squared_SS = {
            "log2_temperature_length": _squared(np.log2([each.temperature for each in settings])),
            "weight_length": _squared(np.array([each.distillation_weight for each in settings])),
            "log2_rate_length": _squared(np.log2([each.learning_rate or 1.0 for each in settings])),
        }

    def matrices(self, hypers: Hypers) -> tuple[FloatArray, FloatArray]:
        """Return the kernel between pairs, of shape (P, P), and the kernel between settings, of shape (S, S).

        The kernel between pairs is multiplied by the variance of gains.
        """
        similar_PP = np.exp(-self._squared_PP / (2 * hypers.pair_length**2))
        kernel_PP = (1 - hypers.own_share) * similar_PP + hypers.own_share * np.eye(len(similar_PP))
        kernel_SS = np.exp(
            -sum(squared_SS / (2 * getattr(hypers, name) ** 2) for name, squared_SS in self._squared_SS.items())
        )
        for name, is_other_SS in self._is_other_SS.items():
            kernel_SS = kernel_SS * np.where(is_other_SS, getattr(hypers, name), 1.0)
        return hypers.sd**2 * kernel_PP, kernel_SS


def log_likelihood(kernels: Kernels, hypers: Hypers, places_N2: IntArray, misfit_N: FloatArray) -> float:
    """Return the logarithm of the marginal likelihood, without its constant term.

    Args:
        kernels: The distances.
        hypers: The hyper-parameters.
        places_N2: Pair and setting of each observation.
        misfit_N: Observations minus their prior means.
    """
    kernel_PP, kernel_SS = kernels.matrices(hypers)
    pairs_N, settings_N = places_N2.T
    covariance_NN = kernel_PP[np.ix_(pairs_N, pairs_N)] * kernel_SS[np.ix_(settings_N, settings_N)]
    factor_NN = np.linalg.cholesky(covariance_NN + hypers.noise_sd**2 * np.eye(len(misfit_N)))
    whitened_N = np.linalg.solve(factor_NN, misfit_N)
    return float(-(whitened_N @ whitened_N) / 2 - np.log(np.diagonal(factor_NN)).sum())


def _odds(share: float) -> float:
    return share / (1 - share)


def _squared(values_S: FloatArray) -> FloatArray:
    squared_SS: FloatArray = (values_S[:, None] - values_S) ** 2
    return squared_SS
