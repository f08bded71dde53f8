"""From feature maps to features."""

from torch import nn


def average_pool() -> nn.Sequential:
    """Return what averages feature maps of any size over space: ``maps_BCHW -> features_BF``."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
