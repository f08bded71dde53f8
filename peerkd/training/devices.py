"""The device of a process, the precision of its forward passes, and the GPU memory that it uses."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import torch
from torch import Tensor

_MAX_CONNECTIONS: Final = "32"
"""The maximum number of connections between a process and a GPU that CUDA allows; its default is 8."""


def process_device(device: str, *, process_index: int) -> torch.device:
    """Return the device of a process: the CPU, or one of the GPUs if ``device`` is ``cuda``.

    The index of the GPU is ``process_index`` modulo the number of GPUs. The GPU also becomes the current device of the
    process. Otherwise a call that names no GPU, such as one that pins memory, would create a CUDA context of hundreds
    of megabytes on the first GPU for every process.
    """
    if device != "cuda":
        return torch.device(device)
    # CUDA reads this when it starts. Streams beyond the number of connections share one, and then wait for each other.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", _MAX_CONNECTIONS)
    own = torch.device("cuda", process_index % torch.cuda.device_count())
    torch.cuda.set_device(own)
    return own


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return a context manager for forward passes in a precision.

    Args:
        device: The device of the forward passes.
        precision: ``float32``, or ``bfloat16``, which torch's autocast uses for the operations that allow it.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, the precision of losses. A tensor in float64 is returned unchanged."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def gpu_bytes(device: torch.device) -> tuple[int, int]:
    """Return the GPU memory that this process's tensors use now, and its peak so far; zeros on the CPU."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's random generators of the CPU and of a device for the body of a ``with`` statement.

    Their states are restored afterwards.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
