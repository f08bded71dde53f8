"""The memory format of networks: channels-last, in which convolutions are fast, or contiguous for those that need it.

Shape suffixes: B = batch, C = image channels, H W = image size.
"""

from typing import Any, Final, TypeVar

import torch
from torch import nn

_IS_CONTIGUOUS: Final = "_peerkd_is_contiguous"

_Module = TypeVar("_Module", bound=nn.Module)


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
