"""The machine that a stage runs on: its devices, and a description for people who compare timings."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from peerkd.config.peer_experiment import ComputeConfig
from peerkd.cores import count_cores
from peerkd.device_kinds import DEVICE_KINDS
from peerkd.launch.gpus import may_have_apple_gpu
from peerkd.version import __version__

_PACKAGES: Final = ("torch", "torchvision", "numpy", "pyarrow", "scikit-learn")

_WITHOUT: Final = {
    "cuda": "without NVIDIA GPUs",
    "mps": "whose torch has no mps (Apple GPUs)",
}
"""The words for a machine that does not have a kind of device."""


def choose_device(
    compute: ComputeConfig, *, is_in_process: bool = False, num_processes_of_training: int = 1
) -> tuple[str, int]:
    """Return the kind of device, a key of ``DEVICE_KINDS``, and the number of processes that train on this machine.

    The number is 0 if the calling process does the work.

    Args:
        compute: The section of the config.
        is_in_process: Whether the calling process does the work.
        num_processes_of_training: The number of processes that share one training.

    Raises:
        ValueError: If a GPU is requested and this machine or its torch has none of its kind, or processes that share a
            training cannot do so on the chosen device.
    """
    kind, num_devices = _find_device(compute.device)
    if num_processes_of_training > 1 and DEVICE_KINDS[kind].process_group is None:
        raise ValueError(
            f"training.num_processes must be 1 on an Apple GPU ({kind}), got {num_processes_of_training}: set "
            "compute.device=cpu for several processes."
        )
    return kind, 0 if is_in_process else compute.num_workers or num_devices


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


def _find_device(wanted: str) -> tuple[str, int]:
    """Return the kind of device that ``compute.device`` names, and the number of such devices on this machine."""
    for kind in DEVICE_KINDS if wanted == "auto" else (wanted,):
        num_devices = _count(kind)
        if num_devices:
            return kind, num_devices
    raise ValueError(f"compute.device must be cpu or auto on a machine {_WITHOUT[wanted]}, got {wanted}.")


def _count(kind: str) -> int:
    match kind:
        case "cuda":
            return _count_gpus()
        case "mps":
            return _count_apple_gpus()
    return count_cores()


def _count_gpus() -> int:
    # Importing torch takes seconds. Without a device file there is no NVIDIA GPU, so most laptops need not import it.
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return torch.cuda.device_count()


def _count_apple_gpus() -> int:
    if not may_have_apple_gpu():
        return 0
    import torch

    return int(torch.backends.mps.is_available())
