"""The architectures as parameters of tests."""

from typing import Final

import pytest

from peerkd.models.build import ARCHITECTURES

_LARGE: Final = ("resnet34_imagenet", "resnet50_imagenet", "resnext50_imagenet", "vgg16")
"""Architectures that take longest. Tests of the smaller ones reach the same code, except for two kinds of blocks."""

QUICK_OR_SLOW: Final = tuple(
    pytest.param(name, marks=pytest.mark.slow) if name in _LARGE else name for name in ARCHITECTURES
)
"""All architectures, of which the large ones are tested only if slow tests run."""
