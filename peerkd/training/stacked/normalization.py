"""Batch normalisation of many students: of the maps of a layer, and of a first layer through the moments of its inputs.

Shape suffixes: G = students, M = maps, D = inputs of one output of a convolution, R = columns: positions of all images;
GM1 = one number a map.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor

# As in torch.nn.BatchNorm2d.
_EPSILON: Final = 1e-5
_MOMENTUM: Final = 0.1


class InputMoments(NamedTuple):
    """Mean and covariance of the inputs of a linear map, from which follow those of its outputs."""

    mean_D: Tensor
    covariance_DD: Tensor


class OutputMoments(NamedTuple):
    """What batch normalisation needs to know of the outputs of a linear map."""

    mean_GM1: Tensor
    variance_GM1: Tensor
    """Biased."""

    covariance_GMD: Tensor
    """Between outputs and inputs."""


def centre(columns_DR: Tensor) -> tuple[Tensor, InputMoments]:
    """Return the columns less their mean, and their moments.

    These are in 64 bits: an output's variance may be a small difference of large terms.
    """
    mean_D = columns_DR.mean(1, dtype=torch.float64)
    centred_DR = columns_DR - mean_D.to(columns_DR.dtype).unsqueeze(1)
    exact_DR = centred_DR.double()
    return centred_DR, InputMoments(mean_D, exact_DR @ exact_DR.t() / columns_DR.shape[1])


def output_moments(weights_GMD: Tensor, moments: InputMoments) -> OutputMoments:
    """Return the moments of ``weights @ columns`` without computing it; in the weights' precision.

    The mean is ``w . mean`` and the variance ``w . covariance . w``.
    """
    exact_GMD = weights_GMD.double()
    covariance_GMD = torch.bmm(exact_GMD, moments.covariance_DD.expand(len(weights_GMD), -1, -1))
    mean_GM1 = (exact_GMD * moments.mean_D).sum(2, keepdim=True)
    variance_GM1 = (exact_GMD * covariance_GMD).sum(2, keepdim=True)
    return OutputMoments(*(each.to(weights_GMD.dtype) for each in (mean_GM1, variance_GM1, covariance_GMD)))


def inverse_deviation(variance: Tensor) -> Tensor:
    """Return ``1 / sqrt(variance + epsilon)``."""
    return (variance + _EPSILON).rsqrt()


def normalize(maps_GMR: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maps with mean 0 and variance 1 over their columns, their means, and their inverse deviations, GM1."""
    # One map of one student is to torch a row of its own, as each token is in layer normalisation.
    normal_GMR, mean_GM1, inverse_GM1 = torch.native_layer_norm(maps_GMR, maps_GMR.shape[2:], None, None, _EPSILON)
    return normal_GMR, mean_GM1, inverse_GM1


def normalize_backward(grad_GMR: Tensor, maps_GMR: Tensor, mean_GM1: Tensor, inverse_GM1: Tensor) -> Tensor:
    """Return the gradient of the maps that ``normalize`` was given, from that of the normalised ones."""
    grad_maps_GMR: Tensor = torch.ops.aten.native_layer_norm_backward(
        grad_GMR, maps_GMR, maps_GMR.shape[2:], mean_GM1, inverse_GM1, None, None, [True, False, False]
    )[0]
    return grad_maps_GMR


def variance_of(inverse_GM1: Tensor) -> Tensor:
    """Return the variance that an inverse deviation was made of."""
    return (inverse_GM1**-2 - _EPSILON).clamp_min_(0)


def update_running(
    statistics: Mapping[str, Tensor], layer: str, mean_GM1: Tensor, variance_GM1: Tensor, *, num_columns: int
) -> None:
    """Move the running statistics of a layer towards those of a batch, as ``torch.nn.BatchNorm2d`` does."""
    unbiased_GM1 = variance_GM1 * (num_columns / (num_columns - 1))
    for name, batch_GM1 in (("running_mean", mean_GM1), ("running_var", unbiased_GM1)):
        statistics[f"{layer}.{name}"].mul_(1 - _MOMENTUM).add_(batch_GM1.squeeze(2) * _MOMENTUM)
    statistics[f"{layer}.num_batches_tracked"].add_(1)
