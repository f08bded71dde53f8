"""Which core a worker process computes on."""

import os


def pin_to_core(worker: int, *, num_workers: int) -> None:
    """Keep this process on a core of its own, if there is exactly one for each worker. Linux only.

    One that moves to another core leaves its caches behind. Where the workers are fewer than the cores, or more,
    others may want cores too, and the system knows better.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == num_workers:
        os.sched_setaffinity(0, {cores[worker]})
