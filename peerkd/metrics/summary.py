"""The summary of a job or of a short step, pushed once to a Pushgateway and deleted when Prometheus has seen it.

A gateway never forgets, so somebody must: ``delete_old_summaries`` is for who runs all the time. Nothing here fails:
without the environment's address nothing is done, and a gateway that does not answer is told once.
"""

import os
import time
from dataclasses import dataclass
from typing import Final

from peerkd.metrics import names
from peerkd.metrics.names import Metric
from peerkd.metrics.progress import say

GATEWAY_VARIABLE: Final = "PEERKD_PUSHGATEWAY"
"""Address of the Pushgateway, as ``http://host:port``; without it no summary is pushed."""

KEEP_SECONDS: Final = 600.0
"""How long a summary stays: many scrapes, and short enough that the gateway stays small."""

_told: set[str] = set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a job, or a step without one, took."""

    succeeded: bool
    run_seconds: float
    """Time that it ran, over all attempts."""

    queue_seconds: float = 0.0
    """Time that it was suspended or waited for a node."""

    gpu_seconds: float = 0.0
    """GPUs times seconds, over all attempts."""

    cost: float | None = None
    """By the price table; ``None`` without one."""

    num_attempts: int = 1
    num_restarts: int = 0

    def values(self) -> dict[Metric, float]:
        """Return the numbers under the names of the table; the end is now."""
        told: dict[Metric, float] = {
            names.JOB_SUCCESS: float(self.succeeded),
            names.JOB_END: time.time(),
            names.JOB_QUEUE_SECONDS: self.queue_seconds,
            names.JOB_RUN_SECONDS: self.run_seconds,
            names.JOB_GPU_SECONDS: self.gpu_seconds,
            names.JOB_ATTEMPTS: self.num_attempts,
            names.JOB_RESTARTS: self.num_restarts,
        }
        return told if self.cost is None else {**told, names.JOB_COST: self.cost}


def push_summary(summary: Summary, *, run: str, stage: str) -> bool:
    """Push a summary in place of an earlier one of the same stage of the run; return whether it is at the gateway."""
    gateway = os.environ.get(GATEWAY_VARIABLE)
    if not gateway:
        return False
    from peerkd.metrics import prometheus

    try:
        prometheus.push(gateway, summary.values(), run=run, stage=stage)
    except OSError as error:
        _tell_once(stage, gateway, error)
        return False
    return True


def delete_summary(*, run: str, stage: str) -> bool:
    """Delete the summary of a stage of a run; return whether the gateway took the order."""
    gateway = os.environ.get(GATEWAY_VARIABLE)
    if not gateway:
        return False
    from peerkd.metrics import prometheus

    try:
        prometheus.delete(gateway, run=run, stage=stage)
    except OSError as error:
        _tell_once(stage, gateway, error)
        return False
    return True


def delete_old_summaries(*, older_than_seconds: float = KEEP_SECONDS) -> int:
    """Delete the summaries that were pushed longer ago than this; return how many."""
    gateway = os.environ.get(GATEWAY_VARIABLE)
    if not gateway:
        return 0
    from peerkd.metrics import prometheus

    try:
        old = [
            (run, stage)
            for run, stage, pushed_at in prometheus.pushed_groups(gateway)
            if time.time() - pushed_at > older_than_seconds
        ]
        for run, stage in old:
            prometheus.delete(gateway, run=run, stage=stage)
    except OSError as error:
        _tell_once("metrics", gateway, error)
        return 0
    return len(old)


def _tell_once(stage: str, gateway: str, error: Exception) -> None:
    """Say that the gateway failed, once in a process: whoever reads the log can do nothing about a second time."""
    if gateway not in _told:
        _told.add(gateway)
        reason = getattr(error, "reason", None) or error
        say(stage, f"warning: no summary at the Pushgateway {gateway}, which changes no result: {reason}")
