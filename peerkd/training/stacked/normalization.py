"""Batch normalisation for many students.

It is computed from the maps of a layer or, in the first layer, from the moments of the layer's inputs.

The definition is that of Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1: with mean and biased variance over the
columns of a batch, ``n = (x - mean) / sqrt(variance + epsilon)``, followed by a scale and a shift for each map.

Shape suffixes: G = students, M = maps, D = values of a patch that one output is computed from, R = columns, one for
each position of each image; GM1 = one number for each map.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor

# The defaults of torch.nn.BatchNorm2d.
_EPSILON: Final = 1e-5
_MOMENTUM: Final = 0.1


class InputMoments(NamedTuple):
    """The mean and the covariance of the inputs of a linear map. They determine the moments of its outputs."""

    mean_D: Tensor
    covariance_DD: Tensor


class OutputMoments(NamedTuple):
    """The moments that batch normalisation of the outputs of a linear map needs."""

    mean_GM1: Tensor
    variance_GM1: Tensor
    """The biased variance of the outputs."""

    covariance_GMD: Tensor
    """The covariance between outputs and inputs."""


def centre(columns_DR: Tensor) -> tuple[Tensor, InputMoments]:
    """Return the columns minus their mean, and the mean and covariance of the columns.

    The moments are computed in 64 bits, because an output's variance may be a small difference of large terms.
    """
    # S = E[(x - mu) (x - mu)^T]. E[x x^T] - mu mu^T would subtract two large numbers and lose the digits of S.
    mean_D = columns_DR.mean(1, dtype=torch.float64)
    centred_DR = columns_DR - mean_D.to(columns_DR.dtype).unsqueeze(1)
    exact_DR = centred_DR.double()
    return centred_DR, InputMoments(mean_D, exact_DR @ exact_DR.t() / columns_DR.shape[1])


def output_moments(weights_GMD: Tensor, moments: InputMoments) -> OutputMoments:
    """Return the moments of ``y = W x`` without computing y, in the weights' precision.

    Expectations are linear. With the mean mu and the covariance S of x, and row w of W for the map y::

        E[y]      = w . mu
        Cov(y, x) = w S
        Var(y)    = w S w^T
    """
    exact_GMD = weights_GMD.double()
    # One product w S per map, whose dot product with w is the variance: no D x D matrix for each map.
    covariance_GMD = torch.bmm(exact_GMD, moments.covariance_DD.expand(len(weights_GMD), -1, -1))
    mean_GM1 = (exact_GMD * moments.mean_D).sum(2, keepdim=True)
    variance_GM1 = (exact_GMD * covariance_GMD).sum(2, keepdim=True)
    return OutputMoments(*(each.to(weights_GMD.dtype) for each in (mean_GM1, variance_GM1, covariance_GMD)))


def inverse_deviation(variance: Tensor) -> Tensor:
    """Return ``1 / sqrt(variance + epsilon)``."""
    return (variance + _EPSILON).rsqrt()


def normalize(maps_GMR: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise maps to mean 0 and variance 1 over their columns.

    Returns:
        The normalised maps (GMR), and the means and the inverse standard deviations of the given maps (GM1).
    """
    # Batch normalisation of one map of one student is layer normalisation of one row of R numbers, for which torch has
    # a fused operation that also uses the biased variance.
    normal_GMR, mean_GM1, inverse_GM1 = torch.native_layer_norm(maps_GMR, maps_GMR.shape[2:], None, None, _EPSILON)
    return normal_GMR, mean_GM1, inverse_GM1


def normalize_backward(grad_GMR: Tensor, maps_GMR: Tensor, mean_GM1: Tensor, inverse_GM1: Tensor) -> Tensor:
    """Return the gradient of the maps that ``normalize`` received, given the gradient of the normalised maps.

    Let n be the normalised map, s the inverse deviation, g the gradient of n, and ``mean`` the mean over the columns.
    The gradient is::

        s (g - mean(g) - n mean(g n))

    This is the chain rule of Ioffe and Szegedy 2015, section 3, with its terms combined: a change of the mean adds
    ``-s mean(g)``, and a change of the variance ``-s n mean(g n)``.
    """
    grad_maps_GMR: Tensor = torch.ops.aten.native_layer_norm_backward(
        grad_GMR, maps_GMR, maps_GMR.shape[2:], mean_GM1, inverse_GM1, None, None, [True, False, False]
    )[0]
    return grad_maps_GMR


def variance_of(inverse_GM1: Tensor) -> Tensor:
    """Return the variance of a batch, given its inverse deviation ``1 / sqrt(variance + epsilon)``."""
    # s = (v + epsilon)^(-1/2), so v = s^(-2) - epsilon, which rounding may make negative for a constant map.
    return (inverse_GM1**-2 - _EPSILON).clamp_min_(0)


def update_running(
    statistics: Mapping[str, Tensor], layer: str, mean_GM1: Tensor, variance_GM1: Tensor, *, num_columns: int
) -> None:
    """Update the running statistics of a layer with those of a batch, as ``torch.nn.BatchNorm2d`` does.

    The rule is ``running <- (1 - momentum) running + momentum batch``. For the running variance, the unbiased estimate
    of the batch's variance is used: the biased variance times ``R / (R - 1)``.
    """
    unbiased_GM1 = variance_GM1 * (num_columns / (num_columns - 1))
    for name, batch_GM1 in (("running_mean", mean_GM1), ("running_var", unbiased_GM1)):
        statistics[f"{layer}.{name}"].mul_(1 - _MOMENTUM).add_(batch_GM1.squeeze(2) * _MOMENTUM)
    statistics[f"{layer}.num_batches_tracked"].add_(1)
