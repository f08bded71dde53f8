"""How large a network is on disk, without building it. No torch; a test compares with what is built.

Shape suffixes: C = image channels, H W = image size, K = classes.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from peerkd.config.architectures import Architecture

_BYTES_PER_VALUE: Final = 4
_BYTES_PER_TENSOR: Final = 90
"""Name, shape and place of a tensor in the header of a safetensors file, about."""


class _Values(NamedTuple):
    """Weights and running statistics of a network; their number is linear in the image's channels and the classes."""

    always: int
    per_channel: int
    """``mlp``: per pixel and channel."""

    per_class: int
    num_tensors: int


_VALUES: Final[Mapping[Architecture, _Values]] = {
    "mlp": _Values(4_224, 64, 65, 6),
    "small_cnn": _Values(4_800, 144, 129, 14),
    "resnet18": _Values(11_176_704, 576, 513, 122),
    "resnet20": _Values(272_960, 144, 65, 128),
    "resnet32": _Values(468_288, 144, 65, 200),
    "resnet56": _Values(858_944, 144, 65, 344),
    "resnet110": _Values(1_161_792, 144, 257, 674),
    "wrn20_8": _Values(6_854_976, 144, 257, 134),
    "densenet40_12": _Values(179_232, 216, 133, 236),
    "vgg16": _Values(15_255_168, 576, 513, 97),
    "resnet18_imagenet": _Values(11_176_704, 3_136, 513, 122),
    "resnet34_imagenet": _Values(21_292_288, 3_136, 513, 218),
    "resnet50_imagenet": _Values(23_551_744, 3_136, 2_049, 320),
    "resnext50_imagenet": _Values(23_038_720, 3_136, 2_049, 320),
}


def weights_bytes(architecture: Architecture, *, image_shape_CHW: tuple[int, int, int], num_classes: int) -> int:
    """Return about how many bytes the file with a network's weights has; off by less than a hundredth of it."""
    channels, height, width = image_shape_CHW
    values = _VALUES[architecture]
    inputs = channels * height * width if architecture == "mlp" else channels
    num_values = values.always + values.per_channel * inputs + values.per_class * num_classes
    return _BYTES_PER_VALUE * num_values + _BYTES_PER_TENSOR * values.num_tensors
