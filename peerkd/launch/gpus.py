"""The GPUs of this machine that a run may use, found without torch."""

import json
import os
from pathlib import Path
from typing import Final

GPUS_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, each as an index or UUID as in ``CUDA_VISIBLE_DEVICES``."""
    if GPUS_VARIABLE in os.environ:
        # CUDA ignores a number below 0 and all that follows it. People write -1 for no GPU.
        names = os.environ[GPUS_VARIABLE].partition("-1")[0].split(",")
        return [name for name in names if name]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))


def gpus_of(config_json: str) -> list[str]:
    """Return the GPUs that the workers of an experiment occupy on this machine.

    These are all visible GPUs, or none if the config of the experiment sets the device to ``cpu``.
    """
    is_on_cpu = json.loads(config_json).get("compute", {}).get("device") == "cpu"
    return [] if is_on_cpu else visible_gpus()
