"""HTTP requests to the cluster's API, with the credentials of this process.

The client of the package ``kubernetes`` supplies only the credentials and the TLS settings, and sends no requests. A
watch of many hours must end when its connection has been silent for too long, which that client does not support.
Errors of connections are translated into errors of peerkd only here.
"""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import urllib3
import yaml

from peerkd.errors import ClusterUnavailableError
from peerkd.excerpt import plain, plain_path
from peerkd.launch.kubernetes.answers import decode, error_of, status_of
from peerkd.launch.kubernetes.lean_imports import lean_imports

with lean_imports("kubernetes", "kubernetes.client", "kubernetes.client.models"):
    import kubernetes.client
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject

    # The readers of credentials look for these two in the package.
    kubernetes.client.ApiClient, kubernetes.client.Configuration = ApiClient, Configuration
    from kubernetes import config

ANSWER_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 5.0
_JSON: Final = "application/json"
_KUBECONFIG: Final = "~/.kube/config"
_POD_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_KEEPALIVE: Final = [
    # A lost server is noticed within a minute, even if a stream carries no data.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, option), value)
        for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, option)
    ),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]

Query = Sequence[tuple[str, str]]


class Transport:
    """A pool of connections to one API server. Several threads may use one instance."""

    def __init__(self, configuration: Any) -> None:
        self.configuration = configuration
        self.address: str = configuration.host
        self.pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
        self.pool.connection_pool_kw["socket_options"] = _KEEPALIVE

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = _JSON,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Send a request, and return the JSON object in the response.

        Raises:
            ClusterRefusedError: If the API refuses the request.
            ClusterUnavailableError: If the API cannot be reached, or the response is not a JSON object.
        """
        response = self._send(method, path, query, body, content_type, silence_seconds=timeout_seconds)
        try:
            data = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            response.release_conn()
        return decode(data, path)

    def lines(self, method: str, path: str, *, query: Query, silence_seconds: float) -> Iterator[str]:
        """Send a request, and yield the lines of the streamed response, each as soon as it is complete.

        Raises:
            ClusterRefusedError: If the API refuses the request.
            ClusterUnavailableError: If the stream breaks, or nothing arrives for ``silence_seconds``.
        """
        response = self._send(method, path, query, silence_seconds=silence_seconds)
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
            # Not returned to the pool: the rest of the stream would be read as the next response.
            response.close()

    def warning_headers(
        self, method: str, path: str, *, query: Query, body: Any, content_type: str = _JSON
    ) -> list[str]:
        """Send a request, and return the ``Warning`` headers of the response.

        Raises:
            ClusterRefusedError: If the API refuses the request.
            ClusterUnavailableError: If the API cannot be reached.
        """
        response = self._send(method, path, query, body, content_type, silence_seconds=ANSWER_SECONDS)
        try:
            response.drain_conn()
        finally:
            response.release_conn()
        return response.headers.getlist("Warning")

    def _send(
        self,
        method: str,
        path: str,
        query: Query,
        body: Any = None,
        content_type: str = _JSON,
        *,
        silence_seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        address = self.address.rstrip("/") + path
        if query:
            address += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        try:
            headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "peerkd"}
            # Read anew for each request, because tokens expire.
            for each in self.configuration.auth_settings().values():
                headers[each["key"]] = each["value"]
            response = self.pool.request(
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


def read_configuration() -> tuple[Any, str | None]:
    """Return the configuration of the package ``kubernetes`` for this process, and the namespace that it specifies.

    In a pod, both come from the service account; in any other process, from the kubeconfig. The namespace is None if
    the kubeconfig specifies none.

    Raises:
        ValueError: If no cluster is configured, or its configuration cannot be read.
    """
    configuration = Configuration()
    # The default suits a client with one request at a time: connections beyond it are closed after use.
    configuration.connection_pool_maxsize = 16
    file = os.environ.get("KUBECONFIG") or _KUBECONFIG
    try:
        try:
            config.load_incluster_config(client_configuration=configuration)
            return configuration, _pod_namespace()
        except config.ConfigException:
            config.load_kube_config(file, client_configuration=configuration, persist_config=False)
            _, context = config.list_kube_config_contexts(file)
            return configuration, context["context"].get("namespace")
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        text = str(error)
        # The lines after the first one name the error in the YAML and its place.
        reason = plain(" ".join(text.split()), limit=300) if isinstance(error, yaml.YAMLError) else text.split("\n")[0]
        raise ValueError(f"KUBECONFIG must name a file that describes a cluster: {reason.rstrip('.')}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The client accepts any YAML, even bytes that are not text.
        raise ValueError(
            f"KUBECONFIG must name a file that describes a cluster, got {plain_path(file)}, which is no kubeconfig in "
            "UTF-8."
        ) from error


def _pod_namespace() -> str | None:
    return _POD_NAMESPACE_FILE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE_FILE.is_file() else None
