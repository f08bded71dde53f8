"""The command runs as in the Deployment: as a process that a signal ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from peerkd.launch.probe import serve_probe


@pytest.fixture
def kubeconfig(tmp_path: Path):
    """Write a kubeconfig for a cluster without objects."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = "pytorchjobs" in self.path
            body = json.dumps({"items": [], "metadata": {"resourceVersion": "1"}}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "mine"}}
    users = [{"name": "u", "user": {"token": "t"}}]
    file.write_text(json.dumps({"current-context": "x", "clusters": [cluster], "contexts": [context], "users": users}))
    yield file
    server.shutdown()
    server.server_close()


def test_the_reaper_works_until_a_signal_ends_it(kubeconfig: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "peerkd", "reap", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert lines == [
        "peerkd | reaper: watching the jobs of the namespace mine.\n",
        "peerkd | reaper: this cluster has no Workflows: only leases are watched.\n",
    ]
    assert (out, err) == ("", "")


def test_a_probe_fails_when_the_pulse_does() -> None:
    pulse = [1.0]
    server = serve_probe(0, pulse=lambda: pulse[0], max_seconds=60)
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=10) as answer:
            assert answer.status == 200
        for path, seconds, status in (("/healthz", 61.0, 503), ("/other", 1.0, 404)):
            pulse[0] = seconds
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{address}{path}", timeout=10)
            caught.value.close()
            assert caught.value.code == status
    finally:
        server.shutdown()
        server.server_close()
