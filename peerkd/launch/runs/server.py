"""A Kubeflow Pipelines server, which receives each run exactly once, and returns the state and the logs of runs."""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.package import Package
from peerkd.launch.retries import ClusterError, ClusterRetries
from peerkd.launch.runs.api import Api, NotSentError, Token, segment

_HEALTH_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 60.0
"""The time for which the server may be unreachable while a run is being sent."""

_LOOK_SECONDS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""The waits before each search for a run whose creation was not acknowledged.

If no search finds the run, it is sent again."""

_EQUALS: Final = 1
"""The code of the filter operation EQUALS in the API."""

_CONFLICT: Final = 409
_NUM_RECENT_RUNS: Final = 50


class PipelineServer:
    """A Kubeflow Pipelines server."""

    def __init__(
        self,
        endpoint: str,
        *,
        namespace: str = "",
        token: Token | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare the requests; none is sent yet.

        Args:
            endpoint: The address of the server or its user interface, such as http://localhost:8080.
            namespace: The namespace of the run on a multi-user server. Empty means the server's own namespace.
            token: The bearer token, if the server requires one.
            clock: A function that returns a monotonic time in seconds.
            sleep: A function that waits for a number of seconds.

        Raises:
            ValueError: If the endpoint is not an address.
        """
        self._api = Api(endpoint, token=token or Token())
        self.endpoint = self._api.endpoint
        self._namespace, self._clock, self._sleep = namespace, clock, sleep

    def check_reachable(self) -> None:
        """Check once that a server listens at the endpoint, so that a wrong address is reported without delay.

        Raises:
            ClusterUnavailableError: If no server listens there.
        """
        try:
            self._api.request("GET", "/apis/v2beta1/healthz", timeout_seconds=_HEALTH_SECONDS)
        except NotSentError:
            raise
        except (ClusterUnavailableError, ClusterRefusedError):
            # A server answers there. The errors of later requests will be more precise.
            return

    def submit(
        self,
        package: Package,
        arguments: Mapping[str, Any],
        *,
        experiment: str,
        name: str,
        service_account: str = "",
        notify: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Create a run, and the experiment that it belongs to if it does not exist; return the run's id.

        A request whose response is lost may still have created the run. Each run therefore has a unique mark in its
        description. Before the request is repeated, the server is searched for a run with that mark.

        Raises:
            ClusterRefusedError: If the server refuses the run.
            ClusterUnavailableError: If the server cannot be reached, or it remains unknown whether the run exists.
        """
        self.check_reachable()

        def report(error: ClusterError, number: int) -> None:
            if number == 1 and isinstance(error, ClusterUnavailableError):
                notify(f"waiting for the server ({error})")

        retries = ClusterRetries(_RETRY_SECONDS, on_failure=report, clock=self._clock, sleep=self._sleep)
        experiment_id = retries.call(lambda: self._experiment_id(experiment))
        mark = f"Sent by peerkd submit, {secrets.token_hex(8)}."
        run: dict[str, Any] = {
            "display_name": name,
            "description": mark,
            "experiment_id": experiment_id,
            "pipeline_spec": _pipeline_spec(package),
            "runtime_config": {"parameters": dict(arguments)},
        }
        if service_account:
            run["service_account"] = service_account
        retries = self._retries(_RETRY_SECONDS)
        while True:
            try:
                return _id_of(self._api.request("POST", "/apis/v2beta1/runs", body=run), "run_id", self.endpoint)
            except ClusterUnavailableError as error:
                if not retries.has_failed:
                    notify(f"waiting for the server ({error})")
                if not isinstance(error, NotSentError):
                    found = self._look_for(mark, name=name, experiment_id=experiment_id, cause=error)
                    if found:
                        return found
                retries.failed(error)

    def page(self, run_id: str) -> str:
        """Return the address of the page that shows a run."""
        return f"{self.endpoint}/#/runs/details/{run_id}"

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run, as the server describes it.

        Raises:
            ClusterRefusedError: If the server has no such run, or does not allow reading it.
            ClusterUnavailableError: If no response arrives, or the response does not describe a run.
        """
        run = self._api.request("GET", f"/apis/v2beta1/runs/{segment(run_id)}")
        if not run.get("run_id") and not run.get("state"):
            raise ClusterUnavailableError(f"{self.endpoint} answered with something other than the run {run_id}.")
        return run

    def terminate(self, run_id: str) -> None:
        """Ask the server to end a run. The server then deletes the pods of its tasks, which takes a while.

        Raises:
            ClusterRefusedError: If the server has no such run, or does not allow ending it.
            ClusterUnavailableError: If no response arrives. The run may end nevertheless.
        """
        self._api.request("POST", f"/apis/v2beta1/runs/{segment(run_id)}:terminate", body={})

    def log(self, run_id: str, pods: Iterable[str]) -> str:
        """Return the end of the log of the first of these pods that has a log.

        The result is empty if none has a log, or if the server does not answer.
        """
        retries = self._retries(_HEALTH_SECONDS)
        for pod in pods:
            path = f"/apis/v1alpha1/runs/{segment(run_id)}/nodes/{segment(pod)}/log"
            try:
                return retries.call(lambda path=path: self._api.log_tail(path))  # type: ignore[misc]
            except ClusterRefusedError:
                continue
            except ClusterUnavailableError:
                return ""
        return ""

    def _retries(self, seconds: float) -> ClusterRetries:
        return ClusterRetries(seconds, has_answered=True, retried_refusals=(), clock=self._clock, sleep=self._sleep)

    def _experiment_id(self, name: str) -> str:
        """Return the experiment's id. Repeating the request is safe, because the server keeps names unique."""
        where = {"namespace": self._namespace} if self._namespace else {}
        query = {"filter": _named(name), **where}
        found = self._api.request("GET", "/apis/v2beta1/experiments", query=query).get("experiments") or []
        if not found:
            try:
                made = self._api.request("POST", "/apis/v2beta1/experiments", body={"display_name": name, **where})
            except ClusterRefusedError as error:
                if error.status == _CONFLICT:
                    raise ClusterUnavailableError(
                        f"{self.endpoint} has an experiment {name} and does not list it yet."
                    ) from error
                raise
            found = [made]
        return _id_of(found[0], "experiment_id", self.endpoint)

    def _look_for(self, mark: str, *, name: str, experiment_id: str, cause: ClusterUnavailableError) -> str:
        """Return the id of the run whose description is ``mark``; empty if several searches do not find such a run."""
        retries = self._retries(_RETRY_SECONDS)
        query = {
            "experiment_id": experiment_id,
            "filter": _named(name),
            "sort_by": "created_at desc",
            "page_size": str(_NUM_RECENT_RUNS),
        }
        for seconds in _LOOK_SECONDS:
            self._sleep(seconds)
            try:
                listed = retries.call(lambda: self._api.request("GET", "/apis/v2beta1/runs", query=query))
            except (ClusterUnavailableError, ClusterRefusedError) as error:
                raise ClusterUnavailableError(
                    f"It is unknown whether the run {name} was created, because the server's response was lost "
                    f"({cause}) and it does not list its runs ({error}) Look for it at {self.endpoint}/#/runs before "
                    "you send it again."
                ) from error
            for run in listed.get("runs") or []:
                if run.get("description") == mark:
                    return _id_of(run, "run_id", self.endpoint)
        return ""


def _pipeline_spec(package: Package) -> dict[str, Any]:
    """Return the pipeline as the API expects it: the specification and the settings for Kubernetes under two keys."""
    if len(package.documents) == 1:
        return dict(package.documents[0])
    return {"pipeline_spec": package.documents[0], "platform_spec": package.documents[1]}


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": _EQUALS, "key": "display_name", "stringValue": name}]})


def _id_of(answer: Mapping[str, Any], field: str, endpoint: str) -> str:
    value = answer.get(field)
    if not isinstance(value, str) or not value:
        raise ClusterUnavailableError(
            f"{endpoint} answered without the field {field}, as a server of another kind does."
        )
    return value
