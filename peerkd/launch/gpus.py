"""The GPUs of this machine that a run may use, found without torch."""

import json
import os
import platform
from pathlib import Path
from typing import Final

GPUS_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"

_APPLE_GPU: Final = "mps"


def visible_gpus() -> list[str]:
    """Return the CUDA devices that this process may use, each as an index or UUID as in ``CUDA_VISIBLE_DEVICES``."""
    if GPUS_VARIABLE in os.environ:
        # CUDA ignores a number below 0 and all that follows it. People write -1 for no GPU.
        names = os.environ[GPUS_VARIABLE].partition("-1")[0].split(",")
        return [name for name in names if name]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))


def gpus_of(config_json: str) -> list[str]:
    """Return the GPUs that the workers of an experiment occupy on this machine.

    These are all visible CUDA devices or the GPU of an Apple computer. There are none if the config of the experiment
    sets the device to ``cpu``.
    """
    match json.loads(config_json).get("compute", {}).get("device", "auto"):
        case "cpu":
            return []
        case "cuda":
            return visible_gpus()
    return visible_gpus() or ([_APPLE_GPU] if may_have_apple_gpu() else [])


def may_have_apple_gpu() -> bool:
    """Return whether this is an Apple computer with a GPU that torch can use, if torch is built for it."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"
