"""A server for the health probes of a cluster."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/healthz"


def serve_probe(port: int, *, pulse: Callable[[], float], max_seconds: float) -> ThreadingHTTPServer:
    """Start a server whose thread answers ``/healthz``, and return it.

    The response has the status 200 while ``pulse()`` is at most ``max_seconds``, and 503 otherwise.

    Args:
        port: The port. 0 means any free port; the attribute ``server_port`` of the returned server tells which port was
            chosen.
        pulse: A function that returns the seconds since the last sign of life.
        max_seconds: The time without a sign of life after which the process should be restarted.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer a probe."""
            seconds = pulse()
            status = HTTPStatus.OK if seconds <= max_seconds else HTTPStatus.SERVICE_UNAVAILABLE
            body = f"last sign of life {seconds:.0f} s ago\n".encode()
            if self.path != PATH:
                status, body = HTTPStatus.NOT_FOUND, b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing, because a probe arrives every few seconds."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
