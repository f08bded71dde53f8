"""A server that plays the answers of a test, byte by byte."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_environment import Settings
from peerkd.artifacts.s3_retries import StoreRetries


def answer(body: bytes = b"", *, status: str = "200 OK", headers: str = "", kind: str = "application/xml") -> bytes:
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + b"\r\n" + body


class PlayedServer:
    """A server that gives the answers of a test, one for each connection, and then always the last one."""

    def __init__(self, last: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.answers: list[bytes] = []
        self.last = last
        self.num_served = 0
        self.requests: list[bytes] = []
        settings = Settings(
            endpoint=f"http://127.0.0.1:{self._listener.getsockname()[1]}", access_key="a", secret_key="secret"
        )
        self.bucket = Bucket(settings, "data", retries=StoreRetries("", notify=lambda _: None, sleep=lambda _: None))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self.requests.append(_read_request(connection))
                    self.num_served += 1
                    connection.sendall(self.answers.pop(0) if self.answers else self.last)


@contextmanager
def served(last: bytes) -> Iterator[PlayedServer]:
    server = PlayedServer(last)
    try:
        yield server
    finally:
        server.close()


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    while found and len(body) < int(found[1]):
        body += connection.recv(65536)
    return head
