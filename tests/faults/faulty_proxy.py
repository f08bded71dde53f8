"""A proxy to an S3 server on which a fraction of all requests fail, each by a randomly drawn fault."""

import hashlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from tests.s3_proxy import read_request

_XML: Final = "Content-Type: application/xml\r\n"


class FaultyProxy:
    """A proxy that handles one request per connection, which it forwards or lets fail."""

    def __init__(self, endpoint: str, *, share: float, seed: int, tried: Counter[str]) -> None:
        address = urlsplit(endpoint)
        self._server = (address.hostname or "", address.port or 80)
        self._share, self._random = share, random.Random(seed)
        self._lock = threading.Lock()
        self._listings: dict[bytes, bytes] = {}
        self._tried = tried
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head, body = read_request(client)
            if head:
                fault = self._draw(head, body)
                if fault is None:
                    client.sendall(self._ask(head, body))
                else:
                    fault(client, head, body)

    def _draw(self, head: bytes, body: bytes) -> "_Fault | None":
        with self._lock:
            if self._random.random() >= self._share:
                return None
            # Few requests are listings, so the fault that was tried least often is next.
            fitting = [name for name, (fits, _) in _FAULTS.items() if fits(head, body)]
            name = min(fitting, key=lambda name: (self._tried[name], self._random.random()))
            self._tried[name] += 1
            seed = self._random.random()
        fault = _FAULTS[name][1]
        return lambda client, head, body: fault(self, random.Random(seed), client, head, body)

    def _ask(self, head: bytes, body: bytes) -> bytes:
        """Return the complete answer of the server."""
        with socket.create_connection(self._server) as server:
            server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"\r\n\r\n" + body)
            answer = b""
            while piece := server.recv(1024**2):
                answer += piece
        if _is_listing(head, body):
            with self._lock:
                self._listings.setdefault(_target(head), answer)
        return answer

    # --- the faults ----------------------------------------------------------------------------------------------

    def _lose_request(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Close the connection before the server receives the request."""

    def _lose_answer(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Let the server carry out the request, and lose its answer."""
        self._ask(head, body)

    def _cut_head(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        answer = self._ask(head, body)
        client.sendall(answer[: rng.randrange(1, answer.index(b"\r\n\r\n") + 4)])

    def _cut_body(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        answer = self._ask(head, body)
        start = answer.index(b"\r\n\r\n") + 4
        client.sendall(answer[: rng.randrange(start, len(answer))] if len(answer) > start else answer[: start - 2])

    def _refuse(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Answer as an overloaded or broken server, or a proxy in front of it, does."""
        status = rng.choice(
            ["500 InternalError", "503 SlowDown", "429 TooManyRequests", "502 Bad Gateway", "504 Timeout"]
        )
        code = status.partition(" ")[2]
        if status.startswith(("502", "504")):
            client.sendall(_answer(status, "Content-Type: text/html\r\n", f"<html><h1>{code}</h1></html>"))
        else:
            client.sendall(_answer(status, _XML, f"<Error><Code>{code}</Code><Message>no</Message></Error>"))

    def _answer_slowly(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        answer = self._ask(head, body)
        middle = rng.randrange(len(answer))
        client.sendall(answer[:middle])
        time.sleep(rng.uniform(0.05, 0.3))
        client.sendall(answer[middle:])

    def _damage_answer(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Flip one bit of the content."""
        answer = bytearray(self._ask(head, body))
        start = answer.index(b"\r\n\r\n") + 4
        if answer.startswith(b"HTTP/1.1 2") and len(answer) > start:
            answer[rng.randrange(start, len(answer))] ^= 1 << rng.randrange(8)
        client.sendall(bytes(answer))

    def _damage_request(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Flip one bit of the content that is sent. The server compares it with the signed SHA-256."""
        damaged = bytearray(body)
        damaged[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        signed = re.search(rb"(?i)\r\nx-amz-content-sha256: *([0-9a-f]{64})", head)
        if signed and signed[1].decode() != hashlib.sha256(damaged).hexdigest():
            error = "<Error><Code>XAmzContentSHA256Mismatch</Code><Message>no</Message></Error>"
            client.sendall(_answer("400 Bad Request", _XML, error))
        else:
            client.sendall(self._ask(head, bytes(damaged)))

    def _list_as_before(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Return the first listing again, although objects have changed since."""
        self._ask(head, body)
        client.sendall(self._listings[_target(head)])

    def _expire(self, rng: random.Random, client: socket.socket, head: bytes, body: bytes) -> None:
        """Reject the keys as expired, as a server does whose keys have just been renewed."""
        error = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
        client.sendall(_answer("400 Bad Request", _XML, error))


_Fault = Callable[[socket.socket, bytes, bytes], None]


def _is_listing(head: bytes, body: bytes) -> bool:
    return head.startswith(b"GET ") and b"list-type=2" in _target(head)


def _is_get(head: bytes, body: bytes) -> bool:
    return head.startswith(b"GET ")


def _has_body(head: bytes, body: bytes) -> bool:
    return bool(body)


def _always(head: bytes, body: bytes) -> bool:
    return True


_FAULTS: Final = {
    "request lost": (_always, FaultyProxy._lose_request),
    "answer lost": (_always, FaultyProxy._lose_answer),
    "answer cut within its head": (_always, FaultyProxy._cut_head),
    "answer cut within its body": (_is_get, FaultyProxy._cut_body),
    "status 5xx or 429": (_always, FaultyProxy._refuse),
    "slow answer": (_always, FaultyProxy._answer_slowly),
    "wrong byte on the way down": (_is_get, FaultyProxy._damage_answer),
    "wrong byte on the way up": (_has_body, FaultyProxy._damage_request),
    "stale listing": (_is_listing, FaultyProxy._list_as_before),
    "expired keys": (_always, FaultyProxy._expire),
}

FAULT_NAMES: Final = tuple(_FAULTS)


@contextmanager
def faulty_proxy_to(endpoint: str, *, share: float, seed: int, tried: Counter[str]) -> Iterator[FaultyProxy]:
    """Open a faulty proxy to a server. ``tried`` counts the failed requests by fault."""
    proxy = FaultyProxy(endpoint, share=share, seed=seed, tried=tried)
    try:
        yield proxy
    finally:
        proxy.close()


def _target(head: bytes) -> bytes:
    return head.split(b" ", 2)[1]


def _answer(status: str, headers: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()
