"""The page of ``peerkd watch --page``: a server on this machine that shows a run, and nothing else.

Only programs of this machine reach the server. A page of another site that a browser shows could still send requests to
it under a host name of its own, so a request with another host name is refused.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Final, NamedTuple

from peerkd.cli.run_facts import RunFacts

HOST: Final = "127.0.0.1"
FACTS_PATH: Final = "/facts.json"

_HEADERS: Final = {
    "Cache-Control": "no-store",
    # Observable Plot writes a style element into each chart.
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _File(NamedTuple):
    name: str
    """The path of the file below ``peerkd/reporting``."""

    kind: str


_FILES: Final[Mapping[str, _File]] = {
    "/": _File("templates/watch.html", "text/html"),
    "/style.css": _File("templates/style.css", "text/css"),
    "/watch.css": _File("templates/watch.css", "text/css"),
    "/d3.js": _File("assets/vendor/d3.min.js", "text/javascript"),
    "/plot.js": _File("assets/vendor/plot.umd.min.js", "text/javascript"),
    "/watch.js": _File("assets/watch.js", "text/javascript"),
}
"""The files that the server has, by path. The page asks for no others, so it works without a network."""


@contextmanager
def serving(facts: Callable[[], RunFacts], *, port: int = 0) -> Iterator[str]:
    """Serve the page of a run during the ``with`` block, and yield its address.

    Args:
        facts: A function that returns the present facts. Several threads may call it.
        port: The port; 0 for a free one.

    Raises:
        ValueError: If the port is in use or may not be opened.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(facts))
    except OSError as error:
        raise ValueError(f"port must be a free port of this machine, got {port}: {error.strerror}.") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def allowed_hosts(port: int) -> set[str]:
    """Return the values of the header ``Host`` in requests to the address of a server that listens on a port."""
    names = (HOST, "localhost")
    # Browsers leave out the default port of HTTP.
    return {f"{name}:{port}" for name in names}.union(names if port == HTTP_PORT else ())


def _handler(facts: Callable[[], RunFacts]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET for the page, its files and the facts. Other methods are refused by the class above."""

        server_version, sys_version = "peerkd", ""

        def do_GET(self) -> None:
            port = self.connection.getsockname()[1]
            if self.headers.get("Host") not in allowed_hosts(port):
                self._answer(403, "text/plain", b"The host name must be that of the address which peerkd has printed.")
            elif self.path == FACTS_PATH:
                self._answer(200, "application/json", json.dumps(asdict(facts())).encode())
            elif self.path in _FILES:
                name, kind = _FILES[self.path]
                self._answer(200, kind, resources.files("peerkd.reporting").joinpath(name).read_bytes())
            else:
                self._answer(404, "text/plain", b"The page of a run has no such file.")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing about requests."""

    return Handler
