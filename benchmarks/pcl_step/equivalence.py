"""A check that both programs whose times are compared compute the same loss.

Shape suffixes: N = views times samples, B = batch, C = image channels, H W = image size.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.pcl_step.straightforward import LoopedNetwork, looped_losses, weigh
from peerkd.config.architectures import ARCHITECTURE_FACTS, Architecture
from peerkd.config.collaboration import CollaborationConfig
from peerkd.models.branched import BranchedNetwork
from peerkd.training.online.mean import MeanNetwork
from peerkd.training.online.objectives import build_for_method, loss_parts

_TOLERANCE = 1e-4
_DISTILLATION_WEIGHT = 0.7


class Differences(NamedTuple):
    """The differences between peerkd and the straightforward program, for the same weights and images."""

    loss: float
    """The difference of the losses."""

    gradient_fraction: float
    """Length of the difference of the gradients, as a share of the gradient's length."""


def compare_losses(
    architecture: Architecture, *, image_shape_CHW: tuple[int, int, int], num_classes: int, num_samples: int
) -> Differences:
    """Compute loss and gradient with both programs on the CPU, with separate batch normalisation of each view.

    The precision is float64: in float32, rounding leaves only two or three correct digits in a gradient through many
    layers from few samples. The moving average has other weights than the network, as it has during a training.

    Raises:
        ArithmeticError: If the losses differ by more than rounding.
    """
    collaboration = CollaborationConfig(view_batch_norm="separate")
    num_views = collaboration.num_branches

    def build(seed: int) -> BranchedNetwork:
        return build_for_method(
            "pcl",
            collaboration,
            architecture=architecture,
            branch_point=ARCHITECTURE_FACTS[architecture].branch_point,
            image_shape_CHW=image_shape_CHW,
            num_classes=num_classes,
            seed=seed,
        )

    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randn(num_views * num_samples, *image_shape_CHW, generator=generator).double()
    labels_B = torch.randint(num_classes, (num_samples,), generator=generator)
    network, other = build(0).double(), build(1).double()
    looped, looped_mean = LoopedNetwork(network), LoopedNetwork(other)

    network = network.to(memory_format=torch.channels_last).train()
    mean = MeanNetwork(other.to(memory_format=torch.channels_last), ceiling=0.999, batch_norm="batch")
    channels_last_NCHW = images_NCHW.contiguous(memory_format=torch.channels_last)
    parts = loss_parts(
        "pcl",
        collaboration,
        network(channels_last_NCHW, num_views),
        labels_B,
        mean_outputs=mean.outputs(channels_last_NCHW, num_views),
    )
    loss = parts.total(_DISTILLATION_WEIGHT)
    loss.backward()

    views = list(images_NCHW.chunk(num_views))
    with torch.no_grad():
        mean_outputs = looped_mean(views)
    looped_parts = looped_losses(looped(views), mean_outputs, labels_B, temperature=collaboration.temperature)
    looped_loss = weigh(looped_parts, distillation_weight=_DISTILLATION_WEIGHT)
    looped_loss.backward()

    differences = Differences(abs(loss.item() - looped_loss.item()), _gradient_difference(network, looped))
    if not differences.loss <= _TOLERANCE:
        raise ArithmeticError(f"The losses of {architecture} are {loss.item()} and {looped_loss.item()}.")
    return differences


def _gradient_difference(network: nn.Module, looped: nn.Module) -> float:
    # Both have trunk, branches and ensemble in this order.
    own, other = (_gradient(each) for each in (network, looped))
    return float((own - other).norm() / own.norm())


def _gradient(network: nn.Module) -> Tensor:
    gradients = [parameter.grad for parameter in network.parameters()]
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
