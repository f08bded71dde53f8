"""Networks small enough for a sweep of thousands of trainings on a laptop.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from torch import nn


def mlp(*, image_shape_CHW: tuple[int, int, int], num_classes: int, width: int = 64) -> nn.Module:
    """Build two hidden layers of ``width`` units on the flattened image: ``images_BCHW -> logits_BK``."""
    channels, height, breadth = image_shape_CHW
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * breadth, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, num_classes),
    )


def small_cnn(*, image_shape_CHW: tuple[int, int, int], num_classes: int, width: int = 16) -> nn.Module:
    """Build two 3x3 convolutions with batch normalisation, pooled between, and a linear layer.

    The last feature map is averaged to 2x2 cells, so that any image of at least 4x4 pixels fits:
    ``images_BCHW -> logits_BK``.
    """
    channels = image_shape_CHW[0]
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * 4, num_classes),
    )
