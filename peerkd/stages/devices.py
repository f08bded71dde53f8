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
    num_gpus = 0 if compute.device == "cpu" else _count_gpus()
    if compute.device == "cuda" and num_gpus == 0:
        raise ValueError("compute.device must be cpu or auto where there is no GPU, got cuda.")
    if num_gpus == 0:
        return "cpu", compute.num_workers or len(os.sched_getaffinity(0))
    return "cuda", compute.num_workers or num_gpus


def _count_gpus() -> int:
    # torch costs seconds to ask and most laptops need not: no device file, no NVIDIA GPU.
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return torch.cuda.device_count()


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
