"""Runs on a Kubeflow Pipelines server: sending one, and waiting for its end. The one place that knows its client."""

import contextlib
import io
import json
import logging
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.package import Package
from peerkd.metrics.progress import LINE_PREFIX

SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
CANCELED: Final = "CANCELED"
UNFINISHED: Final = "UNFINISHED"
"""Nobody waits any longer, and the run goes on."""

_ENDS: Final = {"SUCCEEDED": SUCCEEDED, "SKIPPED": SUCCEEDED, "FAILED": FAILED, "ERROR": FAILED, "CANCELED": CANCELED}
_HEALTH_SECONDS: Final = 10.0
_REQUEST_SECONDS: Final = 60.0
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 15.0
_MAX_OUTAGE_SECONDS: Final = 600.0
_MAX_LOG_BYTES: Final = 4_000_000
_MULTI_USER_HINT: Final = "namespace"


class Ending(NamedTuple):
    """How a run ended."""

    outcome: str
    """SUCCEEDED, FAILED, CANCELED or UNFINISHED."""

    message: str
    """A sentence for people."""


class PipelineServer:
    """A connection to a Kubeflow Pipelines server."""

    def __init__(self, endpoint: str, *, namespace: str = "", token: str = "") -> None:
        """Connect.

        Args:
            endpoint: Address of the server or its user interface, as in http://localhost:8080.
            namespace: Where the run takes place, on a server of many users. Empty: the server's own.
            token: Bearer token, where the server wants one.

        Raises:
            ValueError: If the endpoint is no address.
            ClusterUnavailableError: If nobody answers there.
        """
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint must be the http:// or https:// address of the server, got {endpoint!r}.")
        self.endpoint = endpoint.rstrip("/")
        self._namespace = namespace
        self._token = token
        _check_reachable(self.endpoint)
        import kfp

        with _quietly(), _translated(self.endpoint):
            # kfp's own word for "no namespace given" is the namespace kubeflow.
            self._client = kfp.Client(
                host=self.endpoint, namespace=namespace or "kubeflow", existing_token=token or None
            )

    def submit(
        self, package: Package, arguments: Mapping[str, Any], *, experiment: str, name: str, service_account: str = ""
    ) -> str:
        """Create a run, and the experiment that it belongs to if there is none; return the run's id.

        Raises:
            ClusterRefusedError: If the server does not take it.
            ClusterUnavailableError: If the server cannot be reached.
        """
        with tempfile.TemporaryDirectory(prefix="peerkd-") as folder, _quietly(), _translated(self.endpoint):
            file = Path(folder) / "pipeline.yaml"
            file.write_text(package.to_yaml(), encoding="utf-8")
            created = self._client.create_experiment(experiment, namespace=self._namespace or None)
            run = self._client.run_pipeline(
                experiment_id=created.experiment_id,
                job_name=name,
                pipeline_package_path=str(file),
                params=dict(arguments),
                service_account=service_account or None,
            )
        return str(run.run_id)

    def page(self, run_id: str) -> str:
        """Return the address of the page that shows a run."""
        return f"{self.endpoint}/#/runs/details/{run_id}"

    def run(self, run_id: str) -> Any:
        """Return a run as the server has it."""
        with _translated(self.endpoint):
            return self._client.get_run(run_id)

    def last_words(self, run_id: str, task: Any) -> str:
        """Return the sentence with which a failed task ended, from its log; empty if that cannot be had."""
        for name in _names_of_pod(task):
            request = urllib.request.Request(f"{self.endpoint}/apis/v1alpha1/runs/{run_id}/nodes/{name}/log")
            if self._token:
                request.add_header("Authorization", f"Bearer {self._token}")
            try:
                with urllib.request.urlopen(request, timeout=_HEALTH_SECONDS) as response:
                    lines = str(response.read(_MAX_LOG_BYTES), errors="replace").splitlines()
            except (OSError, ValueError):
                continue
            told = [line for line in lines if line.startswith(LINE_PREFIX) and ": error: " in line]
            if told:
                return str(told[-1]).partition(": error: ")[2].strip()
        return ""


def watch(
    server: PipelineServer,
    run_id: str,
    *,
    timeout_seconds: float | None = None,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Ending:
    """Wait for a run's end, asking less and less often while nothing changes, and tell each change of its state.

    The client's own ``wait_for_run_completion`` does not know CANCELED and waits on, and ``kfp run create --watch``
    ends with 0 whatever became of the run.

    Raises:
        ClusterRefusedError: If the server does not show the run.
        ClusterUnavailableError: If the server cannot be reached for ten minutes.
    """
    began = answered = clock()
    pause_seconds = _FIRST_PAUSE_SECONDS
    before, was_canceled = "", False
    while True:
        try:
            run = server.run(run_id)
        except ClusterUnavailableError:
            if clock() - answered > _MAX_OUTAGE_SECONDS:
                raise
            if before != "unreachable":
                tell("the server does not answer; still waiting")
            before, state = "unreachable", ""
        else:
            answered = clock()
            state = str(run.state or "PENDING").removeprefix("V2BETA1_")
            # A run that was terminated ends as FAILED on a stock server: the way there tells.
            was_canceled |= state == "CANCELING"
            if state != before:
                tell(state)
                before, pause_seconds = state, _FIRST_PAUSE_SECONDS
        if state in _ENDS:
            return _ending(server, run, CANCELED if was_canceled and _ENDS[state] == FAILED else _ENDS[state])
        if timeout_seconds is not None and clock() - began >= timeout_seconds:
            return Ending(UNFINISHED, f"The run {run_id} has not ended after {timeout_seconds:g} s and goes on.")
        sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, _LONGEST_PAUSE_SECONDS)


def _ending(server: PipelineServer, run: Any, outcome: str) -> Ending:
    if outcome == SUCCEEDED:
        return Ending(outcome, f"The run {run.run_id} succeeded.")
    if outcome == CANCELED:
        return Ending(outcome, f"The run {run.run_id} was cancelled.")
    details = run.run_details.task_details if run.run_details else None
    by_id = {task.task_id: task for task in details or []}
    # Every node of the graph is listed: a task, its driver, its pod. What failed first and has nothing below it is why.
    failed = [task for task in by_id.values() if task.state == "FAILED"]
    failed.sort(key=lambda task: (bool(task.child_tasks), str(task.end_time or "9")))
    for task in failed:
        why = _error_of(task) or server.last_words(run.run_id, task)
        if why:
            return Ending(outcome, f"The run {run.run_id} failed in {_name_of(task, by_id)}: {why}")
    where = f" in {_name_of(failed[0], by_id)}" if failed else ""
    why = f": {run.error.message}" if run.error and run.error.message else "."
    return Ending(outcome, f"The run {run.run_id} failed{where}{why} Its page has the logs: {server.page(run.run_id)}")


def _error_of(task: Any) -> str:
    states = [task, *reversed(task.state_history or [])]
    return next((str(each.error.message) for each in states if each.error and each.error.message), "")


def _name_of(task: Any, by_id: Mapping[str, Any]) -> str:
    """Return the name of the task that a node of the graph belongs to: a pod's own name is "executor" for all."""
    while task.display_name in ("executor", "", None) and task.parent_task_id in by_id:
        task = by_id[task.parent_task_id]
    return str(task.display_name)


def _names_of_pod(task: Any) -> Iterator[str]:
    """Yield what a node's pod may be called: in Argo a node is WORKFLOW-HASH, and its pod has the template between."""
    workflow, _, digits = str(task.task_id or "").rpartition("-")
    yield f"{workflow}-system-container-impl-{digits}"
    yield str(task.task_id)


def _check_reachable(endpoint: str) -> None:
    """Ask once, where the client would ask five times with a traceback each."""
    try:
        urllib.request.urlopen(f"{endpoint}/apis/v2beta1/healthz", timeout=_HEALTH_SECONDS).close()
    except urllib.error.HTTPError as error:
        # It answers, if only that it wants to know who asks: the client tells the rest.
        error.close()
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ClusterUnavailableError(f"No Kubeflow Pipelines server answers at {endpoint}: {reason}.") from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The client prints links and warns of its own age."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _translated(endpoint: str) -> Iterator[None]:
    import kfp_server_api

    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (0, 429) or (error.status or 0) >= 502:
            raise ClusterUnavailableError(f"{endpoint} cannot answer now: {_reason(error)}") from error
        hint = " Is a namespace wanted?" if _MULTI_USER_HINT in str(error.body).lower() else ""
        raise ClusterRefusedError(
            f"{endpoint} refused: {_reason(error)}{hint}", status=int(error.status or 0), reason=str(error.reason)
        ) from error
    except kfp_server_api.rest.urllib3.exceptions.HTTPError as error:
        raise ClusterUnavailableError(f"No Kubeflow Pipelines server answers at {endpoint}: {error}.") from error
    except TimeoutError as error:
        raise ClusterUnavailableError(f"No Kubeflow Pipelines server answers at {endpoint}: {error}.") from error


def _reason(error: Any) -> str:
    """Return the server's own words: its answer is JSON with an error, or a page of a proxy."""
    try:
        told = json.loads(error.body)
        return f"{told.get('error') or told.get('message')} (status {error.status})."
    except (ValueError, TypeError, AttributeError):
        return f"{error.reason} (status {error.status})."
