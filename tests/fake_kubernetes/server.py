"""The HTTP server of the fake API. Tests use ``FakeKubernetes``."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.kinds.kind import JobKind
from tests.fake_kubernetes.admission import refusal_of
from tests.fake_kubernetes.store import Object, Store, merged, now, selected

_PATH = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "1"


@dataclass
class Log:
    """The output of a pod's container so far."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    is_over: bool = False


@dataclass
class Fault:
    """A fault that answers matching requests with a status, or closes the connection."""

    fits: Callable[[Request], bool]
    status: int | None
    """None: the connection is closed without an answer."""

    message: str
    num_left: float
    page: str | None = None
    """The answer of a proxy, instead of an error in the format of the API."""


class FakeKubernetes:
    def __init__(self, kinds: Sequence[JobKind] = JOB_KINDS) -> None:
        self.store, self.kinds = Store(), kinds
        self._job_labels = {kind.resource.plural: kind.job_label for kind in kinds}
        self.requests: list[Request] = []
        self.logs: dict[str, Log] = {}
        self.faults: list[Fault] = []
        self.on_create: Callable[[Object], None] | None = None
        self.warnings: list[str] = []
        """Warnings in the headers of answers to dry runs."""

        self.seconds_until_gone = 0.0
        """The time that a deleted object still exists, like a job whose pods have not ended yet."""

        self._connections: set[socket.socket] = set()
        self._streams: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        fake = self

        class Handler(_Handler):
            kubernetes = fake

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Ignore clients that close their connection, which is part of the tests."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and close all connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._cut(self._connections)

    def cut_streams(self) -> None:
        """Close the connections of all watches and logs."""
        self._cut(self._streams)

    def fail(
        self,
        status: int | None,
        *,
        times: float = 1,
        method: str = "",
        path: str = "",
        watch: bool | None = None,
        message: str = "injected",
        page: str | None = None,
    ) -> Fault:
        def fits(request: Request) -> bool:
            return (
                method in ("", request.method) and path in request.path and (watch is None or request.is_watch == watch)
            )

        fault = Fault(fits, status, message, times, page)
        self.faults.append(fault)
        return fault

    def fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.num_left > 0 and fault.fits(request):
                    fault.num_left -= 1
                    return fault
        return None

    def jobs(self, namespace: str) -> list[Object]:
        """Return the jobs of all kinds."""
        return [job for plural in self._job_labels for job in self.store.list(plural, namespace)]

    def asked_for_jobs(self, method: str) -> list[Request]:
        """Return the requests so far that concern jobs."""
        return [each for each in self.asked(method) if any(f"/{plural}" in each.path for plural in self._job_labels)]

    def asked(self, method: str, path: str = "") -> list[Request]:
        """Return the requests so far that have a method, and a path that contains a text."""
        return [each for each in list(self.requests) if each.method == method and path in each.path]

    def log(self, pod: str, text: str, *, at: str | None = None) -> None:
        """Let a pod's container print a line."""
        stamp = at or datetime.now().astimezone().isoformat(timespec="microseconds")
        with self.store.changed:
            self.logs.setdefault(pod, Log()).lines.append((stamp, text))
            self.store.changed.notify_all()

    def end_log(self, pod: str) -> None:
        with self.store.changed:
            self.logs.setdefault(pod, Log()).is_over = True
            self.store.changed.notify_all()

    def delete_later(self, plural: str, namespace: str, name: str, *, foreground: bool) -> None:
        """Delete an object, the pods of a job and what the object owns, immediately or after ``seconds_until_gone``.

        In the foreground, the object exists as long as what it owns. In the background, that exists for longer.
        """
        seen = self.store.get(plural, namespace, name)

        def finish() -> None:
            time.sleep(self.seconds_until_gone)
            for pod in self.store.list("pods", namespace) if plural in self._job_labels else ():
                if pod["metadata"].get("labels", {}).get(self._job_labels[plural]) == name:
                    self.store.remove("pods", namespace, pod["metadata"]["name"])
            if seen is not None:
                self.store.remove_owned_by(seen["metadata"]["uid"])
            if foreground:
                self.store.remove(plural, namespace, name)

        if not foreground:
            self.store.remove(plural, namespace, name)
        if seen is not None and self.seconds_until_gone:
            if foreground:
                seen["metadata"]["deletionTimestamp"] = now()
                self.store.put(plural, namespace, seen)
            threading.Thread(target=finish, daemon=True).start()
        else:
            finish()

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._connections.add(connection)
            if self._server is None:
                # This connection was accepted just before the end, so it is closed here.
                connection.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    @contextlib.contextmanager
    def streaming(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._streams.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(connection)

    def _cut(self, connections: set[socket.socket]) -> None:
        with self._lock:
            for each in connections:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The lines of a stream must arrive as soon as they are written.
    wbufsize = 0
    kubernetes: FakeKubernetes

    def handle(self) -> None:
        with self.kubernetes.connected(self.connection), contextlib.suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        request = Request(self.command, address.path, query, body)
        self.kubernetes.requests.append(request)
        fault = self.kubernetes.fault_for(request)
        if fault is not None and fault.status is None:
            self.close_connection = True
            return
        if fault is not None and fault.page is not None:
            assert fault.status is not None
            self._answer_page(fault.status, fault.page)
            return
        if fault is not None:
            assert fault.status is not None
            self._refuse(fault.status, fault.message)
            return
        match = _PATH.match(request.path)
        if match is None:
            resources = (kind.resource for kind in self.kubernetes.kinds)
            served = [each.plural for each in resources if request.path == f"/apis/{each.group}/{each.version}"]
            self._answer({"gitVersion": "fake", "resources": [{"name": plural} for plural in served]})
            return
        plural, namespace, name = match["plural"], match["namespace"] or "", match["name"] or ""
        if match["sub"] == "log":
            self._log(name, request)
        elif request.is_watch:
            self._watch(plural, namespace, request)
        else:
            self._object(plural, namespace, name, request)

    def _object(self, plural: str, namespace: str, name: str, request: Request) -> None:
        store = self.kubernetes.store
        if request.method == "GET" and not name:
            items = [each for each in store.list(plural, namespace) if self._is_selected(each, request)]
            self._answer({"metadata": {"resourceVersion": str(store.version)}, "items": items})
            return
        if request.method == "POST":
            name = request.body["metadata"]["name"]
            if store.get(plural, namespace, name) is not None:
                self._refuse(409, f'{plural} "{name}" already exists', reason="AlreadyExists")
                return
            if refusal := refusal_of(request.body, store, namespace):
                self._refuse(403, refusal, reason="Forbidden")
                return
            if "dryRun" in request.query:
                self._answer(request.body, status=201)
                return
            made = store.put(plural, namespace, request.body)
            if self.kubernetes.on_create is not None:
                self.kubernetes.on_create(made)
            self._answer(made, status=201)
            return
        seen = store.get(plural, namespace, name)
        if seen is None:
            self._refuse(404, f'{plural} "{name}" not found', reason="NotFound")
        elif request.method == "GET":
            self._answer(seen)
        elif request.method == "PATCH" and (refusal := refusal_of(seen, store, namespace)):
            self._refuse(403, refusal, reason="Forbidden")
        elif request.method == "PATCH" and "dryRun" in request.query:
            self._answer_page(200, json.dumps(merged(seen, request.body)), warnings=self.kubernetes.warnings)
        elif request.method == "PATCH":
            uid = (request.body.get("metadata") or {}).get("uid", seen["metadata"]["uid"])
            if uid != seen["metadata"]["uid"]:
                self._refuse(409, "the UID in the precondition does not match", reason="Conflict")
            else:
                self._answer(store.put(plural, namespace, merged(seen, request.body)))
        else:
            wanted = (request.body or {}).get("preconditions") or {}
            if any(seen["metadata"][name] != value for name, value in wanted.items()):
                self._refuse(409, "the precondition does not match", reason="Conflict")
                return
            foreground = (request.body or {}).get("propagationPolicy") == "Foreground"
            self.kubernetes.delete_later(plural, namespace, name, foreground=foreground)
            self._answer({"kind": "Status", "status": "Success"})

    def _watch(self, plural: str, namespace: str, request: Request) -> None:
        store, version = self.kubernetes.store, int(request.query["resourceVersion"])
        end = time.monotonic() + float(request.query["timeoutSeconds"])
        with self.kubernetes.streaming(self.connection):
            self._begin_stream()
            while time.monotonic() < end:
                if version < store.oldest:
                    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    self._chunk(json.dumps({"type": "ERROR", "object": status}) + "\n")
                    break
                for change in store.changes_after(version, plural, namespace):
                    version = change.version
                    if self._is_selected(change.seen, request):
                        self._chunk(json.dumps({"type": change.kind, "object": change.seen}) + "\n")
                with store.changed:
                    if store.version <= version:
                        store.changed.wait(min(0.2, max(0.0, end - time.monotonic())))
                    elif not any(True for _ in store.changes_after(version, plural, namespace)):
                        store.changed.wait(0.05)
            self._chunk("")

    def _log(self, pod: str, request: Request) -> None:
        store = self.kubernetes.store
        if not any(each["metadata"]["name"] == pod for each in store.list("pods", "")):
            self._refuse(404, f'pods "{pod}" not found', reason="NotFound")
            return
        log = self.kubernetes.logs.setdefault(pod, Log())
        since = request.query.get("sinceTime")
        begin = datetime.fromisoformat(since).replace(microsecond=0) if since else None
        num_sent = 0
        with self.kubernetes.streaming(self.connection):
            self._begin_stream()
            while True:
                with store.changed:
                    lines, is_over = log.lines[num_sent:], log.is_over
                    if not lines and not is_over and request.query.get("follow"):
                        store.changed.wait(0.1)
                if "tailLines" in request.query:
                    lines = lines[-int(request.query["tailLines"]) :]
                for stamp, text in lines:
                    num_sent += 1
                    if begin is None or datetime.fromisoformat(stamp) >= begin:
                        self._chunk((f"{stamp} " if request.query.get("timestamps") else "") + text + "\n")
                if not request.query.get("follow") or (is_over and num_sent >= len(log.lines)):
                    break
            self._chunk("")

    def _is_selected(self, seen: Object, request: Request) -> bool:
        return selected(
            seen, labels=request.query.get("labelSelector", ""), fields=request.query.get("fieldSelector", "")
        )

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _answer(self, body: Any, *, status: int = 200) -> None:
        self._answer_page(status, json.dumps(body))

    def _answer_page(self, status: int, page: str, *, warnings: Sequence[str] = ()) -> None:
        data = page.encode()
        self.send_response(status)
        for text in warnings:
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            self.send_header("Warning", f'299 - "{quoted}"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, message: str, *, reason: str = "") -> None:
        self._answer({"kind": "Status", "code": status, "reason": reason, "message": message}, status=status)
