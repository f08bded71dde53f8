"""Memory of a worker process: how it asks the system for it on the CPU, and what it holds of a GPU."""

import ctypes
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4


def keep_freed_memory() -> None:
    """Keep memory that tensors leave, for the next ones, instead of handing it back to the system. Glibc only.

    A large tensor otherwise gets pages of its own from the system, which clears them, at every step anew: measured on
    a PCL step of ResNet-32, a third of its time. No number changes; a worker holds what its largest step needed until
    it ends, which is soon.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)


def gpu_bytes(device: "torch.device") -> tuple[int, int]:
    """Return the GPU memory that this process's tensors take now, and the most that they ever took; 0 on the CPU."""
    if device.type != "cuda":
        return 0, 0
    import torch

    return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
