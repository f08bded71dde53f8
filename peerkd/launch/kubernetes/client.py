"""The cluster's API: requests, watches and logs of plain mappings. The one place that knows the ``kubernetes`` client.

Only its reading of credentials is used: of its calls, none takes what a watch of many hours needs, a limit on silence
among them. Errors are translated here and nowhere else.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import urllib3
import yaml

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes.answers import decode, error_of, status_of, warnings_of
from peerkd.launch.kubernetes.bare import bare

with bare("kubernetes", "kubernetes.client", "kubernetes.client.models"):
    import kubernetes.client
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject

    # The readers of credentials look for these two in the package.
    kubernetes.client.ApiClient, kubernetes.client.Configuration = ApiClient, Configuration
    from kubernetes import config


class Resource(NamedTuple):
    """A kind of object, as the API's paths name it."""

    group: str
    version: str
    plural: str
    namespaced: bool = True


PODS: Final = Resource("", "v1", "pods")
EVENTS: Final = Resource("", "v1", "events")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps")
SECRETS: Final = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts")
RESOURCE_QUOTAS: Final = Resource("", "v1", "resourcequotas")
NODES: Final = Resource("", "v1", "nodes", namespaced=False)
NAMESPACES: Final = Resource("", "v1", "namespaces", namespaced=False)
CUSTOM_RESOURCES: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
PYTORCHJOBS: Final = Resource("kubeflow.org", "v1", "pytorchjobs")
WORKFLOWS: Final = Resource("argoproj.io", "v1alpha1", "workflows")
LOCAL_QUEUES: Final = Resource("kueue.x-k8s.io", "v1beta2", "localqueues")
WORKLOADS: Final = Resource("kueue.x-k8s.io", "v1beta2", "workloads")
CLUSTER_QUEUES: Final = Resource("kueue.x-k8s.io", "v1beta2", "clusterqueues", namespaced=False)

_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 30.0
_STATUS_GONE: Final = 410
_STATUS_NOT_FOUND: Final = 404
_STATUS_CONFLICT: Final = 409
_REASON_NOT_FOUND: Final = "NotFound"
_CONTENT_TYPES: Final = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_KUBECONFIG: Final = "~/.kube/config"
_POD_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_KEEPALIVE: Final = [
    # A peer that vanished is noticed within a minute, also while a stream has nothing to say.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, option), value)
        for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, option)
    ),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]

Labels = Mapping[str, str]


class Cluster:
    """A cluster's API, seen from one namespace. May be used from several threads."""

    def __init__(self, configuration: Any, *, namespace: str) -> None:
        self.namespace = namespace
        self.address: str = configuration.host
        self._configuration = configuration
        self._pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
        self._pool.connection_pool_kw["socket_options"] = _KEEPALIVE

    def separate(self) -> "Cluster":
        """Return the same with connections and locks of its own, for whoever must not wait for others: a signal."""
        return Cluster(self._configuration, namespace=self.namespace)

    def create(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object.

        Raises:
            ClusterRefusedError: If the API says no; its status is 409 if there is one of that name.
            ClusterUnavailableError: If the API cannot be reached; the object may have been made all the same.
        """
        return self._json("POST", self._path(resource), body=body)

    def get(self, resource: Resource, name: str, *, is_certain: bool = False) -> dict[str, Any] | None:
        """Return an object, or None if there is none of that name.

        Args:
            resource: Its kind.
            name: Its name.
            is_certain: Take only the API's own word for it. An API server that has just started answers 404 for all
                custom resources until it knows their kinds, and so does a proxy with nothing behind it.

        Raises:
            ClusterUnavailableError: If the API cannot be reached, or, to be certain, if the answer is 404 otherwise.
        """
        try:
            return self._json("GET", self._path(resource, name))
        except ClusterRefusedError as error:
            if error.status != _STATUS_NOT_FOUND:
                raise
            if is_certain and error.reason != _REASON_NOT_FOUND:
                raise ClusterUnavailableError(str(error)) from error
            return None

    def list(
        self,
        resource: Resource,
        *,
        labels: Labels | None = None,
        fields: Labels | None = None,
        all_namespaces: bool = False,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Return a list as the API gives it: ``items``, and ``metadata.resourceVersion`` to watch from."""
        query = _selectors(labels, fields) + ([("limit", str(limit))] if limit else [])
        path = self._path(resource, all_namespaces=all_namespaces)
        answer = self._json("GET", path, query=query)
        if not isinstance(answer.get("items") or [], Sequence) or "items" not in answer:
            raise ClusterUnavailableError(f"The cluster's API must answer {path} with a list, got {str(answer)[:80]}.")
        return {**answer, "items": answer["items"] or []}

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        labels: Labels | None = None,
        fields: Labels | None = None,
        all_namespaces: bool = False,
        timeout_seconds: float = 60,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each change as its kind (ADDED, MODIFIED, DELETED, BOOKMARK) and the object; end after the timeout.

        Raises:
            ClusterRefusedError: If the API says no; its status is 410 if it no longer knows that version.
            ClusterUnavailableError: If the connection breaks, or is silent for longer than the timeout.
        """
        query = [
            *_selectors(labels, fields),
            ("watch", "1"),
            ("resourceVersion", resource_version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(max(1, int(timeout_seconds)))),
        ]
        path = self._path(resource, all_namespaces=all_namespaces)
        for line in self._lines("GET", path, query=query, silence_seconds=timeout_seconds + 5):
            change = decode(line, path)
            kind, seen = change.get("type", ""), change.get("object", {})
            if kind == "ERROR":
                raise error_of(seen, status=int(seen.get("code") or _STATUS_GONE), action=f"go on watching {path}")
            yield kind, seen

    def patch(
        self, resource: Resource, name: str, body: Mapping[str, Any] | Sequence[Any], *, kind: str = "merge"
    ) -> dict[str, Any] | None:
        """Change an object and return it, or None if there is none of that name."""
        try:
            return self._json("PATCH", self._path(resource, name), body=body, content_type=_CONTENT_TYPES[kind])
        except ClusterRefusedError as error:
            if error.status == _STATUS_NOT_FOUND:
                return None
            raise

    def delete(
        self,
        resource: Resource,
        name: str,
        *,
        uid: str | None = None,
        foreground: bool = False,
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> bool:
        """Delete an object; False if it was not there, or if what is there has another ``uid``.

        Args:
            resource: Its kind.
            name: Its name.
            uid: Only this very object is deleted, not a later one of its name.
            foreground: Keep it until what it owns is gone.
            timeout_seconds: To connect, and again to answer.
        """
        body: dict[str, Any] = {"propagationPolicy": "Foreground" if foreground else "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", self._path(resource, name), body=body, timeout_seconds=timeout_seconds)
        except ClusterRefusedError as error:
            if error.status in (_STATUS_NOT_FOUND, _STATUS_CONFLICT):
                return False
            raise
        return True

    def logs(
        self,
        pod: str,
        *,
        container: str | None = None,
        since_time: str | None = None,
        follow: bool = False,
        timestamps: bool = False,
        tail_lines: int | None = None,
        silence_seconds: float = 300,
    ) -> Iterator[str]:
        """Yield the lines of a container; following, the stream ends with it.

        Raises:
            ClusterRefusedError: If there is no such pod (404), or the container has not started (400).
            ClusterUnavailableError: If the stream breaks, or nothing comes for ``silence_seconds``. A line of which
                only the beginning has come is not yielded.
        """
        options = {
            "container": container,
            "sinceTime": since_time,
            "follow": "true" if follow else None,
            "timestamps": "true" if timestamps else None,
            "tailLines": None if tail_lines is None else str(tail_lines),
        }
        query = [(name, value) for name, value in options.items() if value is not None]
        return self._lines("GET", self._path(PODS, pod) + "/log", query=query, silence_seconds=silence_seconds)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> Any:
        """Return the JSON answer to any other request."""
        return self._json(method, path, query=query, body=body, timeout_seconds=timeout_seconds)

    def dry_run_warnings(self, resource: Resource, name: str, change: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the API would warn of if an object were changed by a merge patch. Nothing is changed.

        Raises:
            ClusterRefusedError: If the API says no.
            ClusterUnavailableError: If the API cannot be reached.
        """
        response = self._send(
            "PATCH",
            self._path(resource, name),
            query=[("dryRun", "All")],
            body=change,
            content_type=_CONTENT_TYPES["merge"],
            silence_seconds=_ANSWER_SECONDS,
        )
        try:
            response.drain_conn()
        finally:
            response.release_conn()
        return tuple(warnings_of(response.headers.getlist("Warning")))

    def _path(self, resource: Resource, name: str = "", *, all_namespaces: bool = False) -> str:
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        within = f"/namespaces/{self.namespace}" if resource.namespaced and not all_namespaces else ""
        return f"{root}{within}/{resource.plural}" + (f"/{quote(name, safe='')}" if name else "")

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = "application/json",
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> dict[str, Any]:
        response = self._send(
            method, path, query=query, body=body, content_type=content_type, silence_seconds=timeout_seconds
        )
        try:
            data = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            response.release_conn()
        return decode(data, path)

    def _lines(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]], silence_seconds: float
    ) -> Iterator[str]:
        response = self._send(method, path, query=query, silence_seconds=silence_seconds)
        try:
            pending = b""
            for chunk in response.stream(2**16):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    yield line.decode("utf-8", errors="replace")
            if pending:
                yield pending.decode("utf-8", errors="replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            # Not given back: what is left of the stream would be read as the next answer.
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = "application/json",
        silence_seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        address = self.address.rstrip("/") + path
        if query:
            address += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        try:
            headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "peerkd"}
            # Asked anew each time, because tokens expire.
            for each in self._configuration.auth_settings().values():
                headers[each["key"]] = each["value"]
            response = self._pool.request(
                method,
                address,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, silence_seconds), read=silence_seconds),
                preload_content=False,
                retries=False,
                redirect=False,
            )
            if response.status < 300:
                return response
            answer = response.data
            response.release_conn()
        except (urllib3.exceptions.HTTPError, config.ConfigException, OSError) as error:
            raise self._unavailable(error) from error
        raise error_of(status_of(answer), status=response.status, action=f"{method} {path}")

    def _unavailable(self, error: Exception) -> ClusterUnavailableError:
        # urllib3 begins its messages with the connection's address in memory.
        reason = str(error).rpartition("): ")[2] or type(error).__name__
        return ClusterUnavailableError(f"The cluster's API at {self.address} cannot be reached: {reason.rstrip('.')}.")


def connect(*, namespace: str | None = None) -> Cluster:
    """Return the cluster that this process runs in, else the kubeconfig's. Nothing is asked of it yet.

    Args:
        namespace: Where to look and to make things. None: the pod's own, or the kubeconfig's, or ``default``.

    Raises:
        ValueError: If no cluster is configured, or its configuration cannot be read.
    """
    configuration = Configuration()
    # Made for clients that ask one thing: more connections than these are closed after use.
    configuration.connection_pool_maxsize = 16
    try:
        try:
            config.load_incluster_config(client_configuration=configuration)
            own_namespace = _pod_namespace()
        except config.ConfigException:
            file = os.environ.get("KUBECONFIG") or _KUBECONFIG
            config.load_kube_config(file, client_configuration=configuration, persist_config=False)
            _, context = config.list_kube_config_contexts(file)
            own_namespace = context["context"].get("namespace")
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"KUBECONFIG must name a file that describes a cluster: {reason}.") from error
    return Cluster(configuration, namespace=namespace or own_namespace or "default")


def _pod_namespace() -> str | None:
    return _POD_NAMESPACE_FILE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE_FILE.is_file() else None


def _selectors(labels: Labels | None, fields: Labels | None) -> list[tuple[str, str]]:
    chosen = (("labelSelector", labels), ("fieldSelector", fields))
    return [(name, ",".join(f"{key}={value}" for key, value in pairs.items())) for name, pairs in chosen if pairs]
