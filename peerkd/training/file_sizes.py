"""The size of the file with a network's weights, computed without torch.

Shape suffixes: C = image channels, H W = image size, K = classes.
"""

import json
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

NETWORK_SIZES: Final = Path(__file__).with_name("network_sizes.json")
"""The file with coefficients for all architectures, which ``make sizes`` computes from the networks."""

_BYTES_PER_VALUE: Final = 4
_BYTES_PER_TENSOR: Final = 90
"""The approximate size of a tensor's entry in the header of a safetensors file."""


class _ValueCounts(NamedTuple):
    """The coefficients from which the number of values in a network follows. ``peerkd.models.sizes`` derives them."""

    always: int
    per_channel: int
    per_value: int
    per_class: int
    num_tensors: int


def weights_bytes(architecture: str, *, image_shape_CHW: tuple[int, int, int], num_classes: int) -> int:
    """Return the size of the file with a network's weights, with an error of at most 1 %.

    The result is 0 for a network that another Python package provides, because its size is not known without torch.
    """
    channels, height, width = image_shape_CHW
    counts = _value_counts().get(architecture)
    if counts is None:
        return 0
    num_values = (
        counts.always
        + counts.per_channel * channels
        + counts.per_value * channels * height * width
        + counts.per_class * num_classes
    )
    return _BYTES_PER_VALUE * num_values + _BYTES_PER_TENSOR * counts.num_tensors


@cache
def _value_counts() -> dict[str, _ValueCounts]:
    return {name: _ValueCounts(**counts) for name, counts in json.loads(NETWORK_SIZES.read_bytes()).items()}
