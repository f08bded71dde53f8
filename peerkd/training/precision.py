"""The precision that forward passes are computed in."""

from contextlib import AbstractContextManager
from typing import Any

import torch


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context that computes in ``float32`` or in ``bfloat16`` where that is safe."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
