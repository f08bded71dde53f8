"""Networks that are small enough for a sweep of thousands of trials on a laptop.

Shape suffixes: B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

from collections import OrderedDict

from torch import nn


def mlp(*, image_shape_CHW: tuple[int, int, int], num_classes: int, width: int = 64) -> nn.Sequential:
    """Build a network with two hidden layers of ``width`` units for flattened images: ``images_BCHW -> logits_BK``."""
    channels, height, breadth = image_shape_CHW
    return nn.Sequential(
        OrderedDict(
            hidden1=nn.Sequential(nn.Flatten(), nn.Linear(channels * height * breadth, width), nn.ReLU()),
            hidden2=nn.Sequential(nn.Linear(width, width), nn.ReLU()),
            classifier=nn.Linear(width, num_classes),
        )
    )


def small_cnn(*, image_shape_CHW: tuple[int, int, int], num_classes: int, width: int = 16) -> nn.Sequential:
    """Build a network of two 3x3 convolutions with batch normalisation, a pooling between them, and a linear layer.

    The network maps ``images_BCHW -> logits_BK``. The last feature maps are averaged to 2x2 cells, so that any image of
    at least 4x4 pixels fits.
    """
    return nn.Sequential(
        OrderedDict(
            stage1=nn.Sequential(*_convolution(image_shape_CHW[0], width), nn.MaxPool2d(2)),
            stage2=nn.Sequential(*_convolution(width, 2 * width)),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
            classifier=nn.Linear(2 * width * 4, num_classes),
        )
    )


def _convolution(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
