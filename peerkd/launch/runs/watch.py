"""Watching a run on Kubeflow Pipelines until it ends, even if the connection to the server is lost meanwhile."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError, PeerKDError
from peerkd.launch.retries import UNKNOWN_CLIENT, ClusterRetries
from peerkd.launch.runs.failure import failure_of, is_fault_of_server
from peerkd.launch.runs.server import PipelineServer

SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
CANCELED: Final = "CANCELED"
"""The outcome of a run that neither succeeded nor failed: the user terminated it, or it was skipped."""

UNFINISHED: Final = "UNFINISHED"
"""The outcome of a watch that has timed out. The run continues."""

UNWATCHED: Final = "UNWATCHED"
"""The outcome of a watch that ended before the run, because the server no longer answered or the user stopped the
watch."""

PATIENCE_SECONDS: Final = 600.0
"""How long the server may be unreachable before the watch ends."""

_ENDS: Final = {
    "SUCCEEDED": SUCCEEDED,
    "FAILED": FAILED,
    "ERROR": FAILED,
    "CANCELED": CANCELED,
    "SKIPPED": CANCELED,
}
_UNDER_WAY: Final = frozenset({"PENDING", "RUNNING", "CANCELING", "PAUSED"})
_CANCELING: Final = "CANCELING"
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 15.0
_NOT_FOUND: Final = 404
_RETRIED_REFUSALS: Final = UNKNOWN_CLIENT | {_NOT_FOUND}
"""The HTTP statuses of refusals that are retried.

404 is among them, because another replica of the server may not know a new run for a moment."""


class Ending(NamedTuple):
    """The end of a watch: whether and how the run ended."""

    outcome: str
    """One of the outcomes SUCCEEDED, FAILED, CANCELED, UNFINISHED and UNWATCHED."""

    message: str
    """A sentence about the end of the watch, for the user."""

    is_fault_of_server: bool = False
    """Whether the run failed because a driver of Kubeflow Pipelines failed, and not in the program of a task."""


def watch(
    server: PipelineServer,
    run_id: str,
    *,
    is_known_run: bool = True,
    timeout_seconds: float | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    notify: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Ending:
    """Wait until a run ends, and report each change of its state. Requests become less frequent while nothing changes.

    The client of ``kfp`` is not used here: its ``wait_for_run_completion`` does not know CANCELED and never returns,
    and ``kfp run create --watch`` exits with 0 whatever the outcome of the run.

    Failures that may pass are retried, and each kind has a time limit:

    - ``patience_seconds`` if the server does not work: a status of 408, 425, 429 or 5xx; a response that is not JSON; a
      connection that is refused, lost or silent; or a host name that cannot be resolved.
    - 45 seconds if the server does not know the client (401, 403, or a redirect to a login page) or the run (404).

    Args:
        server: The server of the run.
        run_id: The id of the run.
        is_known_run: Whether this server is known to have the run. If not, the watch ends when the server first refuses
            a request.
        timeout_seconds: The longest time to wait. None means to wait until the run ends.
        patience_seconds: How long the server may be unreachable before the watch ends.
        notify: A function that is called with each message for the user.
        clock: A function that returns a monotonic time in seconds.
        sleep: A function that waits for a number of seconds.
    """
    began = clock()
    retries = ClusterRetries(
        patience_seconds, has_answered=is_known_run, retried_refusals=_RETRIED_REFUSALS, clock=clock, sleep=sleep
    )
    pause_seconds, before, was_canceled = _FIRST_PAUSE_SECONDS, "", False
    while True:
        trouble: ClusterUnavailableError | ClusterRefusedError | None = None
        try:
            run = server.run(run_id)
        except (ClusterUnavailableError, ClusterRefusedError) as error:
            trouble = error
            if not retries.has_failed:
                notify(f"waiting for the server while the run continues ({_reason(error)})")
        else:
            if retries.has_failed:
                notify("the server is back")
            retries.succeeded()
            state = _state_of(run)
            was_canceled |= state == _CANCELING
            if state != before:
                is_known = state in _ENDS or state in _UNDER_WAY
                notify(state if is_known else f"{state}, an unknown state; still waiting")
                before, pause_seconds = state, _FIRST_PAUSE_SECONDS
            if state in _ENDS:
                return _ending(server, run_id, run, was_canceled=was_canceled)
        if timeout_seconds is not None and clock() - began >= timeout_seconds:
            begin = f"The run {run_id} has not ended after {timeout_seconds:g} s and continues"
            return Ending(UNFINISHED, f"{begin}: {_next_steps(server, run_id)}")
        if trouble is None:
            sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, _LONGEST_PAUSE_SECONDS)
            continue
        try:
            retries.failed(trouble)
        except (ClusterUnavailableError, ClusterRefusedError) as error:
            return _unwatched(server, run_id, error, is_known_run=is_known_run or bool(before))


def outcome_of(run: Mapping[str, Any]) -> str | None:
    """Return the outcome of a run as its server describes it; None if it has not ended."""
    return _ENDS.get(_state_of(run))


def interrupted(server: PipelineServer, run_id: str) -> Ending:
    """Return the ending of a watch that the user has interrupted. The run itself continues."""
    return Ending(UNWATCHED, f"No longer watching the run {run_id}. It continues: {_next_steps(server, run_id)}")


def _unwatched(server: PipelineServer, run_id: str, error: PeerKDError, *, is_known_run: bool) -> Ending:
    begin = f"{'No longer' if is_known_run else 'Not'} watching the run {run_id}: {_reason(error)}."
    if isinstance(error, ClusterRefusedError) and error.status == _NOT_FOUND:
        why = "It may have been deleted" if is_known_run else "Its id or the endpoint may be wrong"
        return Ending(UNWATCHED, f"{begin} {why}; its page would be {server.page(run_id)}")
    goes_on = "The run continues" if is_known_run else "The state of the run is unknown"
    return Ending(UNWATCHED, f"{begin} {goes_on}: {_next_steps(server, run_id)}")


def _next_steps(server: PipelineServer, run_id: str) -> str:
    return f"watch it again with `peerkd watch {run_id} --endpoint {server.endpoint}`, or look at {server.page(run_id)}"


def _ending(server: PipelineServer, run_id: str, run: Mapping[str, Any], *, was_canceled: bool) -> Ending:
    state = _state_of(run)
    outcome = _ENDS[state]
    # A terminated run ends as FAILED on a stock server; its history shows that it was being cancelled.
    was_canceled |= any(_state_of(each) == _CANCELING for each in run.get("state_history") or [])
    if outcome == FAILED and was_canceled:
        outcome = CANCELED
    if outcome == SUCCEEDED:
        return Ending(outcome, f"The run {run_id} succeeded.")
    if outcome == CANCELED:
        how = "skipped: none of its tasks were run" if state == "SKIPPED" else "cancelled"
        return Ending(outcome, f"The run {run_id} was {how}.")
    why = failure_of(run, log=lambda pods: server.log(run_id, pods)) or "."
    message = f"The run {run_id} failed{why} Its page has the logs: {server.page(run_id)}"
    return Ending(outcome, message, is_fault_of_server(run))


def _state_of(entry: Mapping[str, Any]) -> str:
    state = str(entry.get("state") or "PENDING").removeprefix("V2BETA1_")
    return "PENDING" if state == "RUNTIME_STATE_UNSPECIFIED" else state


def _reason(error: PeerKDError) -> str:
    return str(error).rstrip(".")
