"""Pooling from feature maps to features."""

from torch import nn


def average_pool() -> nn.Sequential:
    """Return a module that averages feature maps over the image: ``maps_BCHW -> features_BF``."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
