"""The numbers of weights of all architectures, counted on networks that are built on torch's meta device.

``make sizes`` writes these numbers to ``peerkd/training/network_sizes.json``. ``peerkd plan`` and the stages that
divide the data need them to forecast the sizes of files, even where torch is not installed.

Shape suffixes: C = image channels, H W = image size, K = classes.
"""

import json
import sys

import torch

from peerkd.models.build import ARCHITECTURES, build_network


def value_counts(architecture: str) -> dict[str, int]:
    """Return the coefficients of a formula for the number of weights of an architecture.

    The number of weights and running statistics is ``always + per_channel * C + per_value * C * H * W + per_class * K``
    for images of shape (C, H, W) and K classes. It is linear in C, in C * H * W and in K, so four networks of different
    sizes determine the four coefficients.

    Args:
        architecture: A key of ``ARCHITECTURES``.

    Returns:
        The four coefficients, and ``num_tensors``, the number of all tensors in the network's ``state_dict``.
    """
    base, num_tensors = count_values(architecture, (1, 32, 32), 1)
    # Twice the height adds 32 * 32 values to an image of one channel.
    per_value = (count_values(architecture, (1, 64, 32), 1)[0] - base) // (32 * 32)
    per_channel = count_values(architecture, (2, 32, 32), 1)[0] - base - per_value * 32 * 32
    per_class = count_values(architecture, (1, 32, 32), 2)[0] - base
    return {
        "always": base - per_channel - per_value * 32 * 32 - per_class,
        "per_channel": per_channel,
        "per_value": per_value,
        "per_class": per_class,
        "num_tensors": num_tensors,
    }


def count_values(architecture: str, image_shape_CHW: tuple[int, int, int], num_classes: int) -> tuple[int, int]:
    """Return the number of floating-point values and the number of tensors in the weights of a network.

    The network is built on the meta device, which allocates no memory for its tensors.
    """
    with torch.device("meta"):
        network = build_network(architecture, image_shape_CHW=image_shape_CHW, num_classes=num_classes, seed=0)
    tensors = network.state_dict().values()
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()), len(tensors)


if __name__ == "__main__":
    json.dump({name: value_counts(name) for name in ARCHITECTURES}, sys.stdout, indent=2)
    sys.stdout.write("\n")
