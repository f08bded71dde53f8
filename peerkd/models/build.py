"""Construction of a network from the name of its architecture.

Shape suffixes: B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final

import torch
from torch import nn

_Builder = Callable[..., nn.Sequential]


def build_network(
    architecture: str, *, image_shape_CHW: tuple[int, int, int], num_classes: int, seed: int
) -> nn.Sequential:
    """Build a network of named blocks. The initial weights depend only on ``seed`` and on the shapes of the blocks.

    The network can be split between any two of its blocks. The last block is ``classifier``, which maps ``features_BF``
    to ``logits_BK``. The block before it is ``pool``, which maps feature maps to features; a network without feature
    maps has no ``pool``. No block changes its input in place, so several blocks may have the same input.

    Args:
        architecture: A key of ``ARCHITECTURES``.
        image_shape_CHW: Channels, height and width of an image.
        num_classes: Number of classes, K.
        seed: Seed of the initial weights. The state of the global generator does not change.

    Raises:
        ValueError: If the architecture is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture}.")
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of the GPUs, which are not forked.
        torch.default_generator.manual_seed(seed)
        return ARCHITECTURES[architecture]()(image_shape_CHW=image_shape_CHW, num_classes=num_classes)


def num_parameters(network: nn.Module) -> int:
    """Return the number of values in all parameters, without buffers."""
    return sum(parameter.numel() for parameter in network.parameters())


def _function(module: str, function: str, /, **arguments: Any) -> Callable[[], _Builder]:
    return lambda: partial(getattr(import_module(f"peerkd.models.{module}"), function), **arguments)


# Each entry imports its module on demand: importing torchvision takes a second, and small networks do not need it.
ARCHITECTURES: Final[Mapping[str, Callable[[], _Builder]]] = {
    "mlp": _function("small", "mlp"),
    "small_cnn": _function("small", "small_cnn"),
    "resnet18": _function("resnet", "resnet18"),
    "resnet20": _function("resnet", "cifar_resnet", depth=20),
    "resnet32": _function("resnet", "cifar_resnet", depth=32),
    "resnet56": _function("resnet", "cifar_resnet", depth=56),
    "resnet110": _function("resnet", "resnet110"),
    "wrn20_8": _function("resnet", "wrn20_8"),
    "densenet40_12": _function("densenet", "densenet40_12"),
    "vgg16": _function("vgg", "vgg16"),
    "resnet18_imagenet": _function("imagenet", "imagenet_resnet", name="resnet18"),
    "resnet34_imagenet": _function("imagenet", "imagenet_resnet", name="resnet34"),
    "resnet50_imagenet": _function("imagenet", "imagenet_resnet", name="resnet50"),
    "resnext50_imagenet": _function("imagenet", "imagenet_resnet", name="resnext50_32x4d"),
}
