"""VGG-16 for 32x32 images (Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D).

This is the network in the tables of papers on online distillation, as in the code of OKDDip (DefangChen/OKDDip, commit
c6a05de): batch normalisation after every convolution, two hidden layers of 512 units in place of 4096, and no dropout.
The initial weights are those of OKDDip as well: kernels as in He et al. 2015, linear layers normal with a standard
deviation of 0.01, and biases 0.

Shape suffixes: B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

from collections import OrderedDict
from typing import Final

from torch import nn

from peerkd.models.pooling import average_pool

_STAGES: Final = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""The number of channels and of convolutions in each stage."""


def vgg16(*, image_shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Sequential:
    """Build a network of five stages and three linear layers: ``images_BCHW -> logits_BK``.

    Each stage halves the image size.
    """
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    channels = image_shape_CHW[0]
    for number, (out_channels, num_convolutions) in enumerate(_STAGES, start=1):
        blocks[f"stage{number}"] = _stage(channels, out_channels, num_convolutions=num_convolutions)
        channels = out_channels
    # A 32x32 image is reduced to one cell, so averaging changes nothing.
    blocks["pool"] = average_pool()
    blocks["classifier"] = nn.Sequential(
        nn.Linear(channels, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, num_classes),
    )
    network = nn.Sequential(blocks)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network


def _stage(in_channels: int, out_channels: int, *, num_convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, *(out_channels,) * (num_convolutions - 1)):
        # The normalisation cancels the bias. It is kept because the published number of parameters includes it.
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))
