"""How a process uses the cores and the memory of the CPU. This module needs no torch."""

import ctypes
import os
from typing import Final

from peerkd.cores import count_cores

# These values are defined in malloc.h of glibc.
_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4

_LEAST_READING_THREADS: Final = 2
_MOST_READING_THREADS: Final = 16


def pin_to_core(process_index: int, *, num_processes: int) -> None:
    """Keep this process on a core of its own if there are as many cores as processes. This has an effect only on Linux.

    A process that moves to another core loses its caches. If the numbers of cores and processes differ, the operating
    system distributes the processes better than a fixed assignment would.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == num_processes:
        os.sched_setaffinity(0, {cores[process_index]})


def num_reading_threads(*, num_gpus: int) -> int:
    """Return the number of threads that read and decode images ahead of a training in this process.

    With GPUs, one process trains on each, and the cores that this process may use are divided equally among them.
    Without a GPU the cores are needed for the training, and two threads suffice: one begins a batch while the other
    waits for the slowest part of its own batch.

    Args:
        num_gpus: The number of GPUs that this process can see; 0 for a training on the CPU.
    """
    if num_gpus == 0:
        return _LEAST_READING_THREADS
    return min(max(count_cores() // num_gpus, _LEAST_READING_THREADS), _MOST_READING_THREADS)


def keep_freed_memory() -> None:
    """Make the allocator reuse the memory of freed tensors instead of returning it to the operating system.

    By default a large tensor gets new pages at every step, and the operating system must clear them first. In a PCL
    step of ResNet-32 this was measured to take a third of the time. The setting changes no result, but the process
    keeps the memory of its largest step until it ends. It has an effect only with glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
