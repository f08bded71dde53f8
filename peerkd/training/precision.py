"""The precision that forward passes are computed in."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, in which losses are computed; one in float64 stays as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context that computes in ``float32`` or in ``bfloat16`` where that is safe."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
