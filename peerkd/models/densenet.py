"""DenseNet-40-12 for 32x32 images (Huang et al. 2017, arXiv:1608.06993).

This is the network in the tables of papers on online distillation, as in the code of OKDDip (DefangChen/OKDDip, commit
c6a05de): a DenseNet-BC with three dense blocks of 6 bottleneck layers, growth rate 12 and 0.19 million parameters. The
DenseNet-40-12 of Huang et al. has 12 layers without bottlenecks in each block, no compression, and 1.0 million
parameters. Kernels are initialised as in He et al. 2015 with fan-in.

Shape suffixes: B = batch, C = channels, H W = image size, F = features, K = classes.
"""

from collections import OrderedDict
from typing import Final

import torch
from torch import Tensor, nn

from peerkd.models.pooling import average_pool

_GROWTH: Final = 12
_BOTTLENECK: Final = 4
"""The number of channels between the two convolutions of a layer, in multiples of the growth rate."""

_NUM_BLOCKS: Final = 3
_NUM_LAYERS: Final = 6


class _DenseLayer(nn.Module):
    """A layer that appends 12 new channels to its input: ``maps_BCHW -> maps_BCHW``."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        inner = _BOTTLENECK * _GROWTH
        self.layers = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, inner, kernel_size=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, _GROWTH, kernel_size=3, padding=1, bias=False),
        )

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return torch.cat((maps_BCHW, self.layers(maps_BCHW)), dim=1)


def densenet40_12(*, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    """Build a network of three dense blocks with transitions between them.

    A transition halves the image size and the number of channels.

    The network maps ``images_BCHW -> logits_BK``.
    """
    channels = 2 * _GROWTH
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    blocks["stem"] = nn.Conv2d(image_shape_CHW[0], channels, kernel_size=3, padding=1, bias=False)
    for number in range(1, _NUM_BLOCKS + 1):
        layers = [_DenseLayer(channels + layer * _GROWTH) for layer in range(_NUM_LAYERS)]
        channels += _NUM_LAYERS * _GROWTH
        end: list[nn.Module] = [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        if number < _NUM_BLOCKS:
            end += [nn.Conv2d(channels, channels // 2, kernel_size=1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
        blocks[f"stage{number}"] = nn.Sequential(*layers, *end)
    blocks["pool"] = average_pool()
    blocks["classifier"] = classifier = nn.Linear(channels, num_classes)
    network = nn.Sequential(blocks)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    nn.init.zeros_(classifier.bias)
    return network
