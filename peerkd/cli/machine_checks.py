"""The checks of ``peerkd doctor`` on a machine without a cluster: software, devices, memory, disk, and data."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from peerkd.cli.options import Experiment, StorePlace
from peerkd.config.peer_experiment import ComputeConfig
from peerkd.config.pipelines import Pipeline
from peerkd.config.strict import StrictConfig
from peerkd.cores import count_cores
from peerkd.errors import DataSourceError
from peerkd.launch.doctor.check import CheckResult
from peerkd.stages.machine import choose_device
from peerkd.wording import format_bytes

_MIN_PYTHON: Final = (3, 11)
_PACKAGES: Final = {
    "torch": ("torch", "train"),
    "torchvision": ("torchvision", "train"),
    "Pillow": ("PIL", "data"),
    "scikit-learn": ("sklearn", "data"),
    "kfp": ("kfp", "pipeline"),
    "Jinja2": ("jinja2", "report"),
}
"""The packages that a run on this machine needs, each with the name of its module and the extra that installs it."""

_MIN_MEMORY_BYTES_PER_CORE: Final = 2**29
"""The bytes of memory that the libraries alone take in a training process."""


def check_machine(pipeline: Pipeline[StrictConfig], experiment: Experiment, *, output: Path) -> Iterator[CheckResult]:
    """Yield the results of all checks of this machine.

    Args:
        pipeline: The pipeline of the experiment.
        experiment: The options of the experiment. If none is given, the checks of its data are omitted.
        output: The folder of the store.
    """
    yield _check_python()
    yield _check_packages()
    yield _check_device()
    yield _check_memory()
    needed_bytes = None
    if experiment != Experiment():
        data, needed_bytes = _check_data(pipeline, experiment)
        yield data
    yield _check_disk(output, needed_bytes=needed_bytes)


def _check_python() -> CheckResult:
    version = platform.python_version()
    is_new = sys.version_info >= _MIN_PYTHON
    return CheckResult("python", is_new, f"Python {version}.", "" if is_new else "Install Python 3.11 or later.")


def _check_packages() -> CheckResult:
    missing = {name: extra for name, (module, extra) in _PACKAGES.items() if find_spec(module) is None}
    if not missing:
        return CheckResult("packages", True, f"{', '.join(_PACKAGES)} are installed.")
    extras = ",".join(dict.fromkeys(missing.values()))
    return CheckResult("packages", False, f"Missing: {', '.join(missing)}.", f"pip install 'peerkd[{extras}]'")


def _check_device() -> CheckResult:
    cores = f"{count_cores()} cores"
    device, num_devices = choose_device(ComputeConfig())
    match device:
        case "cuda":
            found = f"{num_devices} GPUs and {cores}."
        case "mps":
            found = f"An Apple GPU and {cores}. One student at a time trains on this GPU."
        case _:
            found = f"{cores}, and no GPU that a run would use."
    return CheckResult("device", True, found)


def _check_memory() -> CheckResult:
    try:
        num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return CheckResult("memory", None, "This system does not tell how much memory it has.")
    num_cores = count_cores()
    is_enough = num_bytes >= num_cores * _MIN_MEMORY_BYTES_PER_CORE
    fix = "" if is_enough else f"Set compute.num_workers below {num_cores}, so that fewer processes share the memory."
    return CheckResult("memory", is_enough, f"{format_bytes(num_bytes)} for {num_cores} processes.", fix)


def _check_data(pipeline: Pipeline[StrictConfig], experiment: Experiment) -> tuple[CheckResult, int | None]:
    """Return whether a run would accept the config and its data, and the bytes that the run would write."""
    from peerkd.cli.plan import bytes_to_write

    try:
        needed_bytes = bytes_to_write(experiment.load(pipeline), StorePlace())
    except (ValueError, DataSourceError) as error:
        return CheckResult("data", False, str(error), f"'peerkd plan {pipeline.name}' has the same checks."), None
    return CheckResult("data", True, "A run would accept the config and its data."), needed_bytes


def _check_disk(output: Path, *, needed_bytes: int | None) -> CheckResult:
    folder = next(each for each in (output.absolute(), *output.absolute().parents) if each.is_dir())
    free_bytes = shutil.disk_usage(folder).free
    free = f"{format_bytes(free_bytes)} are free for {output}"
    if needed_bytes is None:
        return CheckResult("disk", True, f"{free}.")
    is_enough = needed_bytes <= free_bytes
    fix = "" if is_enough else "Free some space, or choose a folder on another disk by --output."
    return CheckResult("disk", is_enough, f"{free}, and the run writes about {format_bytes(needed_bytes)}.", fix)
