"""The number of CPU cores that a process may use."""

import os
import re
from collections.abc import Mapping
from typing import Final

from peerkd.excerpt import plain

NUM_CORES_VARIABLE: Final = "PEERKD_NUM_CORES"
"""The environment variable with the number of CPU cores for a worker. It is needed because a process in a container
sees all cores of the machine."""


def count_cores(environment: Mapping[str, str] | None = None) -> int:
    """Return the number of CPU cores that this process may use.

    Raises:
        ValueError: If the environment variable is not a whole number above 0.
    """
    text = (os.environ if environment is None else environment).get(NUM_CORES_VARIABLE, "")
    if text:
        if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
            raise ValueError(f"{NUM_CORES_VARIABLE} must be a whole number above 0, got {plain(text)}.")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
