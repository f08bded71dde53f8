"""The worker that this process is. Its environment specifies the worker in the same way on every backend."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from peerkd.excerpt import plain

WORKER_INDEX_VARIABLE: Final = "PEERKD_WORKER_INDEX"
NUM_WORKERS_VARIABLE: Final = "PEERKD_NUM_WORKERS"
RUN_ID_VARIABLE: Final = "PEERKD_RUN_ID"


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One of the workers that share a stage."""

    index: int = 0
    """The worker's number, counted from 0."""

    num_workers: int = 1
    """The number of workers of the stage, this one included."""

    run_id: str = ""
    """The id of the run. The id and ``index`` together distinguish this worker from the workers of other runs of the
    same stage."""

    is_in_process: bool = False
    """Whether the process of the stage does the work itself, without starting other processes."""

    @property
    def is_first(self) -> bool:
        """Whether this is the first worker, which waits for all others and publishes the artifact."""
        return self.index == 0

    @property
    def is_alone(self) -> bool:
        """Whether the stage has no other worker."""
        return self.num_workers == 1


def this_worker(environment: Mapping[str, str] | None = None) -> Worker:
    """Return the worker that this process is, as its environment variables specify it.

    Without these variables, the process is the only worker of its stage.

    Args:
        environment: The variables. None means those of this process.

    Raises:
        ValueError: If a value is not a number, or the index is not below the number of workers.
    """
    environment = os.environ if environment is None else environment
    texts = {
        name: environment.get(name) or default
        for name, default in ((WORKER_INDEX_VARIABLE, "0"), (NUM_WORKERS_VARIABLE, "1"))
    }
    for name, text in texts.items():
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise ValueError(f"{name} must be a whole number, got {plain(text)}.")
    index, num_workers = (int(text) for text in texts.values())
    if index >= num_workers:
        raise ValueError(f"{WORKER_INDEX_VARIABLE} must be below {NUM_WORKERS_VARIABLE} ({num_workers}), got {index}.")
    return Worker(index=index, num_workers=num_workers, run_id=environment.get(RUN_ID_VARIABLE, ""))
