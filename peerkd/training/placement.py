"""The core and the device that a worker process computes on."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def pin_to_core(worker: int, *, num_workers: int) -> None:
    """Keep this process on a core of its own, if there is exactly one for each worker. Linux only.

    A process that moves to another core leaves its caches behind. If the number of workers differs from the number of
    cores, other processes may want cores too, and the scheduler of the system decides better.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == num_workers:
        os.sched_setaffinity(0, {cores[worker]})


def worker_device(device: str, *, worker: int) -> "torch.device":
    """Return the device of a worker: the CPU, or for ``cuda`` the GPU of its number modulo the number of GPUs."""
    # The process that starts the workers needs no torch.
    import torch

    if device == "cuda":
        return torch.device("cuda", worker % torch.cuda.device_count())
    return torch.device(device)
