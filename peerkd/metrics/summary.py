"""The summary of a job, or of a stage without a job. It is pushed to a Pushgateway, and deleted after some scrapes.

A Pushgateway never deletes what was pushed to it, so the reaper, which always runs, calls ``delete_old_summaries``. No
function of this module raises an error. If the environment contains no address of a Pushgateway, the functions do
nothing. If the Pushgateway does not answer, a warning is printed once.
"""

import os
import time
from dataclasses import dataclass
from typing import Final

from peerkd.metrics import names
from peerkd.metrics.names import Metric
from peerkd.metrics.progress import print_line

GATEWAY_VARIABLE: Final = "PEERKD_PUSHGATEWAY"
"""The environment variable with the address of the Pushgateway, such as ``http://host:port``. Without it, no summary is
pushed."""

KEEP_SECONDS: Final = 600.0
"""The time for which a summary is kept: long enough for many scrapes, and short enough that the gateway stays small."""

_reported_gateways: set[str] = set()
"""The gateways whose failure has been reported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The outcome and the resources of a job, or of a stage without a job."""

    succeeded: bool
    run_seconds: float
    """The time for which the job or stage ran, over all attempts."""

    queue_seconds: float = 0.0
    """The time for which the job was suspended or waited for a node."""

    gpu_seconds: float = 0.0
    """The number of GPUs times the seconds for which they were allocated, over all attempts."""

    cost: float | None = None
    """The cost by the operator's prices, or None if the operator has set no prices."""

    num_attempts: int = 1
    num_restarts: int = 0

    def values(self) -> dict[Metric, float]:
        """Return the value of each metric of the summary. The current time is taken as the end of the job."""
        values: dict[Metric, float] = {
            names.JOB_SUCCESS: float(self.succeeded),
            names.JOB_END: time.time(),
            names.JOB_QUEUE_SECONDS: self.queue_seconds,
            names.JOB_RUN_SECONDS: self.run_seconds,
            names.JOB_GPU_SECONDS: self.gpu_seconds,
            names.JOB_ATTEMPTS: self.num_attempts,
            names.JOB_RESTARTS: self.num_restarts,
        }
        return values if self.cost is None else {**values, names.JOB_COST: self.cost}


def push_summary(summary: Summary, *, run: str, stage: str) -> bool:
    """Push a summary, which replaces an earlier one of the same stage and run.

    Returns:
        Whether the summary was pushed. False if no Pushgateway is configured, or if the Pushgateway failed.
    """
    gateway = os.environ.get(GATEWAY_VARIABLE)
    if not gateway:
        return False
    from peerkd.metrics import prometheus

    try:
        prometheus.push(gateway, summary.values(), run=run, stage=stage)
    except OSError as error:
        _warn_once(stage, gateway, error)
        return False
    return True


def delete_summary(*, run: str, stage: str) -> bool:
    """Delete the summary of a stage of a run.

    Returns:
        Whether the summary was deleted. False if no Pushgateway is configured, or if the Pushgateway failed.
    """
    gateway = os.environ.get(GATEWAY_VARIABLE)
    if not gateway:
        return False
    from peerkd.metrics import prometheus

    try:
        prometheus.delete(gateway, run=run, stage=stage)
    except OSError as error:
        _warn_once(stage, gateway, error)
        return False
    return True


def delete_old_summaries(*, older_than_seconds: float = KEEP_SECONDS) -> int:
    """Delete all summaries that were pushed more than ``older_than_seconds`` ago. Return how many were deleted."""
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
        _warn_once("metrics", gateway, error)
        return 0
    return len(old)


def _warn_once(stage: str, gateway: str, error: Exception) -> None:
    """Print a warning that the gateway failed. It is printed once per process, because repeating it would not help."""
    if gateway not in _reported_gateways:
        _reported_gateways.add(gateway)
        reason = getattr(error, "reason", None) or error
        print_line(stage, f"warning: the Pushgateway {gateway} failed, which affects no result: {reason}")
