"""A proxy to an S3 server with faults: broken connections, truncated answers, errors, and outages."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Action = Literal["drop", "drop answer", "cut", "damage", "damage answer", "hold", "403", "404", "501", "503"]
"""``drop``: the request is lost. ``drop answer``: the request is carried out, and its answer is lost. ``cut``: half of
the body of the answer arrives. ``damage``: the last byte of the request is changed. ``damage answer``: the last byte of
the answer is changed. ``hold``: the request is carried out when the test allows it. A number: the proxy answers with
that status, and the server receives nothing."""


_REFUSALS = {"403": "AccessDenied", "404": "NoSuchUpload", "501": "NotImplemented", "503": "SlowDown"}


@dataclass
class _Rule:
    pattern: re.Pattern[str]
    action: Action
    times: int


class S3Proxy:
    """A proxy that forwards one request per connection."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._server = (address.hostname or "", address.port or 80)
        self._listener: socket.socket | None = None
        self._port = 0
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self.requests: list[str] = []
        """Method, path and query of each request in the order of arrival, as in ``PUT /bucket/name?partNumber=1``."""
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.up()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def fail(self, pattern: str, action: Action, *, times: int = 1) -> None:
        """Let the next requests that match a pattern fail."""
        self._rules.append(_Rule(re.compile(pattern), action, times))

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def up(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=64)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Stop listening until ``up`` is called."""
        if self._listener:
            # Closing alone would leave the port open while accept waits.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head, body = read_request(client)
            if not head:
                return
            request = " ".join(head.split(b"\r\n", 1)[0].decode().split(" ")[:2])
            action = self._act_on(request)
            if action == "hold":
                self.held.set()
                self.go_on.wait(60)
            if action == "drop":
                return
            if action in _REFUSALS:
                client.sendall(_refusal(action))
                return
            if action == "damage":
                body = _damaged(body)
            with socket.create_connection(self._server) as server:
                server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"\r\n\r\n" + body)
                if action == "cut":
                    answer = b"".join(_pieces(server))
                    end_of_head = answer.index(b"\r\n\r\n") + 4
                    client.sendall(answer[: (end_of_head + len(answer)) // 2])
                    return
                if action == "damage answer":
                    client.sendall(_damaged(b"".join(_pieces(server))))
                    return
                for piece in _pieces(server):
                    if action != "drop answer":
                        client.sendall(piece)

    def _act_on(self, request: str) -> Action | None:
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.times > 0 and rule.pattern.search(request):
                    rule.times -= 1
                    return rule.action
        return None


@contextmanager
def proxy_to(endpoint: str) -> Iterator[S3Proxy]:
    proxy = S3Proxy(endpoint)
    try:
        yield proxy
    finally:
        proxy.go_on.set()
        proxy.down()


def read_request(client: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of the request that a client sends; both are empty if it hangs up before the end."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            return b"", b""
        received += piece
    head, _, start = received.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    body = bytearray(start)
    while len(body) < (int(found[1]) if found else 0):
        piece = client.recv(1024**2)
        if not piece:
            return b"", b""
        body += piece
    return head, bytes(body)


def _pieces(server: socket.socket) -> Iterator[bytes]:
    while piece := server.recv(1024**2):
        yield piece


def _damaged(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _refusal(status: str) -> bytes:
    code = _REFUSALS[status]
    body = f"<Error><Code>{code}</Code><Message>by the test</Message></Error>".encode()
    return (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
