"""Files of weights that a user may pass to the program: those of a network with one change."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from peerkd.models.build import build_network

Weights = dict[str, Tensor]


@cache
def expected() -> Weights:
    """Return the weights of a small network."""
    return build_network("small_cnn", image_shape_CHW=(1, 8, 8), num_classes=3, seed=0).state_dict()


def weights_file(path: Path, rng: random.Random) -> bool:
    """Write a file of weights, and return whether the network must refuse it."""
    weights = {name: tensor.clone() for name, tensor in expected().items()}
    is_impossible = rng.choice(_CHANGES)(weights, rng)
    save_file(weights, path)
    if rng.random() < 0.3:
        content = bytearray(path.read_bytes())
        match rng.randrange(3):
            case 0:
                del content[rng.randrange(len(content)) :]
            case 1:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            case 2:
                # The first eight bytes are the length of the header.
                content[:8] = rng.choice([0, 2**40, 2**63, 3]).to_bytes(8, "little")
        path.write_bytes(content)
    return is_impossible


def _nothing(weights: Weights, rng: random.Random) -> bool:
    return False


def _not_a_number(weights: Weights, rng: random.Random) -> bool:
    floats = [tensor for tensor in weights.values() if tensor.is_floating_point()]
    rng.choice(floats).view(-1)[0] = rng.choice([float("nan"), float("inf"), float("-inf")])
    return True


def _another_shape(weights: Weights, rng: random.Random) -> bool:
    name = rng.choice([name for name, tensor in weights.items() if tensor.ndim])
    tensor = weights[name]
    weights[name] = rng.choice([tensor[:1], tensor[None], tensor.flatten(), tensor[..., :1], tensor.sum()]).contiguous()
    return bool(weights[name].shape != tensor.shape)


def _another_type(weights: Weights, rng: random.Random) -> bool:
    name = rng.choice([name for name, tensor in weights.items() if tensor.is_floating_point()])
    weights[name] = weights[name].to(rng.choice([torch.float64, torch.float16, torch.int32]))
    return True


def _missing(weights: Weights, rng: random.Random) -> bool:
    del weights[rng.choice(list(weights))]
    return True


def _left_over(weights: Weights, rng: random.Random) -> bool:
    weights[rng.choice(["module.head.weight", "extra", "a" * 1000])] = torch.zeros(2)
    return True


_CHANGES: Final[tuple[Callable[[Weights, random.Random], bool], ...]] = (
    _nothing,
    _not_a_number,
    _another_shape,
    _another_type,
    _missing,
    _left_over,
)
