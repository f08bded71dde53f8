"""The machine that a stage runs on: its devices, and a description for people who compare timings."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from peerkd.config.peer_experiment import ComputeConfig
from peerkd.cores import count_cores
from peerkd.version import __version__

_PACKAGES: Final = ("torch", "torchvision", "numpy", "pyarrow", "scikit-learn")


def choose_device(compute: ComputeConfig, *, is_in_process: bool = False) -> tuple[str, int]:
    """Return the kind of device, ``cpu`` or ``cuda``, and the number of processes that train on this machine.

    The number is 0 if the calling process does the work.

    Raises:
        ValueError: If a GPU is requested and none exists.
    """
    num_gpus = 0 if compute.device == "cpu" else _count_gpus()
    if compute.device == "cuda" and num_gpus == 0:
        raise ValueError("compute.device must be cpu or auto on a machine without GPUs, got cuda.")
    num_processes = 0 if is_in_process else compute.num_workers or num_gpus or count_cores()
    return "cuda" if num_gpus else "cpu", num_processes


def describe_processor() -> str:
    """Return the processor's name and the number of cores, for people who compare timings."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {count_cores()} cores"


def software_versions() -> dict[str, str]:
    """Return the versions of Python packages on whose code results depend, by name."""
    # peerkd itself may run from a clone, without being installed.
    own = {"python": platform.python_version(), "peerkd": __version__}
    return {**own, **{package: version(package) for package in _PACKAGES}}


def _count_gpus() -> int:
    # Importing torch takes seconds. Without a device file there is no NVIDIA GPU, so most laptops need not import it.
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return torch.cuda.device_count()
