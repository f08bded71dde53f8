"""The Kubernetes API in terms of objects: create, get, list, watch, patch and delete them, and read logs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes.answers import decode, error_of, warnings_of
from peerkd.launch.kubernetes.transport import ANSWER_SECONDS, Transport, read_configuration


class Resource(NamedTuple):
    """A type of objects in the API: the group, the version and the plural name that form the path of a request."""

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
WORKFLOWS: Final = Resource("argoproj.io", "v1alpha1", "workflows")
LOCAL_QUEUES: Final = Resource("kueue.x-k8s.io", "v1beta2", "localqueues")
WORKLOADS: Final = Resource("kueue.x-k8s.io", "v1beta2", "workloads")
CLUSTER_QUEUES: Final = Resource("kueue.x-k8s.io", "v1beta2", "clusterqueues", namespaced=False)
RESOURCE_FLAVORS: Final = Resource("kueue.x-k8s.io", "v1beta2", "resourceflavors", namespaced=False)
TOPOLOGIES: Final = Resource("kueue.x-k8s.io", "v1beta2", "topologies", namespaced=False)

_STATUS_GONE: Final = 410
_STATUS_NOT_FOUND: Final = 404
_STATUS_CONFLICT: Final = 409
_REASON_NOT_FOUND: Final = "NotFound"
_DRY_RUN: Final = (("dryRun", "All"),)
_STRICT: Final = (("fieldValidation", "Strict"),)
_MERGE_PATCH: Final = "application/merge-patch+json"

Labels = Mapping[str, str]


class Cluster:
    """The API of a cluster, with a namespace for all requests. Several threads may use one instance."""

    def __init__(self, transport: Transport, *, namespace: str) -> None:
        self.namespace, self.address = namespace, transport.address
        self._transport = transport

    def separate(self) -> "Cluster":
        """Return a client of the same cluster with connections and locks of its own.

        A signal handler needs such a client. It interrupts the main thread, so it would wait forever for a lock of the
        original client that the main thread holds.
        """
        return Cluster(Transport(self._transport.configuration), namespace=self.namespace)

    def create(
        self, resource: Resource, body: Mapping[str, Any], *, is_dry_run: bool = False, is_strict: bool = False
    ) -> dict[str, Any]:
        """Create an object, or in a dry run only check that it would be accepted.

        Args:
            resource: The resource of the object.
            body: The object.
            is_dry_run: Whether the object is only checked.
            is_strict: Whether the API refuses an object with a field that it does not know. If not, it drops the field.

        Raises:
            ClusterRefusedError: If the API refuses. The error has ``status`` 409 if an object of that name exists.
            ClusterUnavailableError: If the API cannot be reached. The object may have been created nevertheless.
        """
        query = (*(_DRY_RUN if is_dry_run else ()), *(_STRICT if is_strict else ()))
        return self._transport.json("POST", self._path(resource), query=query, body=body)

    def get(self, resource: Resource, name: str, *, is_certain: bool = False) -> dict[str, Any] | None:
        """Return an object, or None if no object of that name exists.

        Args:
            resource: The resource of the object.
            name: The name of the object.
            is_certain: Whether to return None only if the API says that the object does not exist. The HTTP status 404
                alone does not prove this: an API server that has just started knows no custom resources yet, and a
                proxy may have no server behind it.

        Raises:
            ClusterUnavailableError: If the API cannot be reached; with ``is_certain``, also if the status is 404 and
                the response does not say that the object was not found.
        """
        try:
            return self._transport.json("GET", self._path(resource, name))
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
        """Return a list: ``items`` are the objects, and ``metadata.resourceVersion`` is the version to watch from."""
        query = _selectors(labels, fields) + ([("limit", str(limit))] if limit else [])
        path = self._path(resource, all_namespaces=all_namespaces)
        answer = self._transport.json("GET", path, query=query)
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
        """Yield each change as its type (ADDED, MODIFIED, DELETED or BOOKMARK) and the object, until the timeout.

        Raises:
            ClusterRefusedError: If the API refuses. The error has ``status`` 410 if the API no longer has the changes
                since ``resource_version``.
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
        for line in self._transport.lines("GET", path, query=query, silence_seconds=timeout_seconds + 5):
            change = decode(line, path)
            kind, obj = change.get("type", ""), change.get("object", {})
            if kind == "ERROR":
                raise error_of(obj, status=int(obj.get("code") or _STATUS_GONE), action=f"continue the watch of {path}")
            yield kind, obj

    def patch(self, resource: Resource, name: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change an object by a merge patch and return it, or None if no object of that name exists."""
        try:
            return self._transport.json("PATCH", self._path(resource, name), body=body, content_type=_MERGE_PATCH)
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
        resource_version: str | None = None,
        propagation_policy: Literal["Foreground", "Background"] = "Background",
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> bool:
        """Delete an object, and return True.

        Return False if the object does not exist, or has a UID other than ``uid`` or a version other than
        ``resource_version``.

        Args:
            resource: The resource of the object.
            name: The name of the object.
            uid: The UID of the object, so that a later object of the same name is not deleted.
            resource_version: The version of the object, so that it is not deleted if somebody has changed it.
            propagation_policy: ``Foreground`` keeps the object until the objects that it owns are deleted.
            timeout_seconds: The limit on the time to connect, and on the time until the response has been received.
        """
        body: dict[str, Any] = {"propagationPolicy": propagation_policy}
        conditions = {"uid": uid, "resourceVersion": resource_version}
        if uid or resource_version:
            body["preconditions"] = {name: value for name, value in conditions.items() if value}
        try:
            self._transport.json("DELETE", self._path(resource, name), body=body, timeout_seconds=timeout_seconds)
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
        """Yield the lines of a container's log; with ``follow``, until the container ends.

        Raises:
            ClusterRefusedError: If the pod does not exist (404), or the container has not started (400).
            ClusterUnavailableError: If the stream breaks, or contains nothing for ``silence_seconds``. An incomplete
                line is not yielded.
        """
        options = {
            "container": container,
            "sinceTime": since_time,
            "follow": "true" if follow else None,
            "timestamps": "true" if timestamps else None,
            "tailLines": None if tail_lines is None else str(tail_lines),
        }
        query = [(name, value) for name, value in options.items() if value is not None]
        return self._transport.lines(
            "GET", self._path(PODS, pod) + "/log", query=query, silence_seconds=silence_seconds
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Any:
        """Send a request that no other method covers, and return the JSON value in the response."""
        return self._transport.json(method, path, query=query, body=body, timeout_seconds=timeout_seconds)

    def serves(self, resource: Resource) -> bool:
        """Return whether the API serves a resource. This requires no permission.

        Raises:
            ClusterRefusedError: If the API refuses to say which resources it serves.
            ClusterUnavailableError: If the API cannot be reached.
        """
        try:
            answer = self.request("GET", f"/apis/{resource.group}/{resource.version}")
        except ClusterRefusedError as error:
            if error.status == _STATUS_NOT_FOUND:
                return False
            raise
        return any(each["name"] == resource.plural for each in answer.get("resources", []))

    def dry_run_warnings(self, resource: Resource, name: str, change: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the warnings that the API would give about a merge patch of an object. Nothing changes.

        Raises:
            ClusterRefusedError: If the API refuses.
            ClusterUnavailableError: If the API cannot be reached.
        """
        headers = self._transport.warning_headers(
            "PATCH",
            self._path(resource, name),
            query=_DRY_RUN,
            body=change,
            content_type=_MERGE_PATCH,
        )
        return tuple(warnings_of(headers))

    def _path(self, resource: Resource, name: str = "", *, all_namespaces: bool = False) -> str:
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        within = f"/namespaces/{self.namespace}" if resource.namespaced and not all_namespaces else ""
        return f"{root}{within}/{resource.plural}" + (f"/{quote(name, safe='')}" if name else "")


def connect(*, namespace: str | None = None) -> Cluster:
    """Return a client of a cluster, without sending a request.

    Inside a pod, this is the cluster of the pod. Elsewhere it is the cluster that the kubeconfig names.

    Args:
        namespace: The namespace of all requests. None means the namespace of the pod or of the kubeconfig, and
            ``default`` if neither exists.

    Raises:
        ValueError: If no cluster is configured, or its configuration cannot be read.
    """
    configuration, own_namespace = read_configuration()
    return Cluster(Transport(configuration), namespace=namespace or own_namespace or "default")


def _selectors(labels: Labels | None, fields: Labels | None) -> list[tuple[str, str]]:
    chosen = (("labelSelector", labels), ("fieldSelector", fields))
    return [(name, ",".join(f"{key}={value}" for key, value in pairs.items())) for name, pairs in chosen if pairs]
