"""What this machine can compute on, where a config leaves it open."""

import os
import platform
from pathlib import Path

from peerkd.config.experiment import ComputeConfig


def choose(compute: ComputeConfig) -> tuple[str, int]:
    """Return the kind of device, ``cpu`` or ``cuda``, and the number of worker processes.

    Raises:
        ValueError: If a GPU is asked for and there is none.
    """
    import torch

    num_gpus = torch.cuda.device_count()
    if compute.device == "cuda" and num_gpus == 0:
        raise ValueError("compute.device must be cpu or auto where there is no GPU, got cuda.")
    if compute.device == "cpu" or num_gpus == 0:
        return "cpu", compute.num_workers or len(os.sched_getaffinity(0))
    return "cuda", compute.num_workers or num_gpus


def machine_name() -> str:
    """Return the processor's name and the number of cores this process may use, for people who compare timings."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
