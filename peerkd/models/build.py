"""The one place where an architecture's name becomes a network."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Final

import torch
from torch import nn

_Builder = Callable[..., nn.Module]


def build_network(
    architecture: str, *, image_shape_CHW: tuple[int, int, int], num_classes: int, seed: int
) -> nn.Module:
    """Build a network with weights drawn from ``seed`` and from nothing else.

    Args:
        architecture: A name of ``ARCHITECTURES``.
        image_shape_CHW: Channels, height and width of one image.
        num_classes: Width of the last layer.
        seed: Of the initial weights. The global generator is left as it was.

    Raises:
        ValueError: If the architecture is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture}.")
    with torch.random.fork_rng(devices=[]):
        # The CPU's generator alone: torch.manual_seed would set those of the GPUs too, which are not forked.
        torch.default_generator.manual_seed(seed)
        return ARCHITECTURES[architecture]()(image_shape_CHW=image_shape_CHW, num_classes=num_classes)


def num_parameters(network: nn.Module) -> int:
    """Return the number of trained numbers, buffers apart."""
    return sum(parameter.numel() for parameter in network.parameters())


def _small(name: str) -> Callable[[], _Builder]:
    return lambda: getattr(import_module("peerkd.models.small"), name)


def _cifar_resnet(depth: int) -> Callable[[], _Builder]:
    return lambda: partial(import_module("peerkd.models.resnet").cifar_resnet, depth=depth)


# Each entry imports its module when it is built: torchvision alone costs a second that a small network need not pay.
ARCHITECTURES: Final[Mapping[str, Callable[[], _Builder]]] = {
    "mlp": _small("mlp"),
    "small_cnn": _small("small_cnn"),
    "resnet18": lambda: import_module("peerkd.models.resnet").resnet18,
    "resnet20": _cifar_resnet(20),
    "resnet32": _cifar_resnet(32),
    "resnet56": _cifar_resnet(56),
}
