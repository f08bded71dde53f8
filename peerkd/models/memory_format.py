"""The memory format of networks and their images: channels-last, in which convolutions are fast, or contiguous.

It is contiguous for networks that need it, and for all networks on kinds of devices that need it.

Shape suffixes: B = batch, N = views times samples, C = image channels, H W = image size.
"""

from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from peerkd.device_kinds import DEVICE_KINDS

_IS_CONTIGUOUS: Final = "_peerkd_is_contiguous"

_Module = TypeVar("_Module", bound=nn.Module)


def laid_out(images_NCHW: Tensor) -> Tensor:
    """Return images in the memory format of the networks on their device."""
    is_channels_last = DEVICE_KINDS[images_NCHW.device.type].has_channels_last
    return images_NCHW.contiguous(memory_format=torch.channels_last if is_channels_last else torch.contiguous_format)


def keep_contiguous(network: nn.Module) -> None:
    """Make a network take its images in contiguous memory, and let ``to_channels_last`` leave its tensors contiguous.

    The images are converted by a hook, so the names of the tensors stay the same.

    Args:
        network: The network, which is changed in place.
    """

    def convert(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        images_BCHW, *others = arguments
        return images_BCHW.contiguous(), *others

    network.register_forward_pre_hook(convert)
    setattr(network, _IS_CONTIGUOUS, True)


def to_channels_last(network: _Module) -> _Module:
    """Convert the tensors of a network to channels-last memory, in place, and return the network.

    The tensors of the network or of its parts for which ``keep_contiguous`` was called become contiguous.
    """
    network.to(memory_format=torch.channels_last)
    for module in network.modules():
        if getattr(module, _IS_CONTIGUOUS, False):
            module.to(memory_format=torch.contiguous_format)
    return network
