import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peerkd.metrics import prometheus, summary
from peerkd.metrics.summary import Summary, delete_old_summaries, delete_summary, push_summary

DONE = Summary(
    succeeded=True,
    run_seconds=90.5,
    queue_seconds=30,
    gpu_seconds=724,
    cost=0.5,
    num_attempts=2,
    num_restarts=1,
)


class Request(NamedTuple):
    method: str
    path: str
    body: str
    content_type: str | None


class Gateway:
    """A server that keeps the requests it receives and answers like a Pushgateway."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.status = 200
        self.groups: list[dict[str, object]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                gateway.requests.append(Request(self.command, self.path, body, self.headers.get("Content-Type")))
                answer = json.dumps({"status": "success", "data": gateway.groups}).encode()
                self.send_response(gateway.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_DELETE = _take

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    made = Gateway()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("PEERKD_PUSHGATEWAY", made.address)
    monkeypatch.setattr(summary, "_reported_gateways", set())
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def read(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_summary_replaces_the_group_of_its_run_and_stage(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.8e9)
    assert push_summary(DONE, run="run-1", stage="train_pcl")
    (request,) = gateway.requests
    assert request.method == "PUT"
    assert request.path == "/metrics/job/peerkd/run/run-1/stage/train_pcl"
    assert request.content_type is not None
    assert request.content_type.startswith("text/plain; version=")
    assert read(request.body) == {
        "peerkd_job_success": 1,
        "peerkd_job_end_timestamp_seconds": 1.8e9,
        "peerkd_job_queue_seconds": 30,
        "peerkd_job_run_seconds": 90.5,
        "peerkd_job_gpu_seconds": 724,
        "peerkd_job_cost": 0.5,
        "peerkd_job_attempts": 2,
        "peerkd_job_restarts": 1,
    }


def test_without_a_price_there_is_no_cost(gateway: Gateway) -> None:
    push_summary(Summary(succeeded=False, run_seconds=1), run="r", stage="s")
    told = read(gateway.requests[0].body)
    assert told["peerkd_job_success"] == 0
    assert "peerkd_job_cost" not in told


def test_a_run_with_a_slash_in_its_name_is_still_one_group(gateway: Gateway) -> None:
    push_summary(DONE, run="a/b", stage="s")
    assert gateway.requests[0].path == "/metrics/job/peerkd/run@base64/YS9i/stage/s"


def test_a_summary_is_deleted_by_the_same_group(gateway: Gateway) -> None:
    gateway.status = 202
    assert delete_summary(run="run-1", stage="train_pcl")
    (request,) = gateway.requests
    assert (request.method, request.path) == ("DELETE", "/metrics/job/peerkd/run/run-1/stage/train_pcl")
    assert request.body == ""


def group(pushed_seconds_ago: float, **labels: str) -> dict[str, object]:
    value = str(time.time() - pushed_seconds_ago)
    return {"labels": labels, "push_time_seconds": {"type": "GAUGE", "metrics": [{"labels": labels, "value": value}]}}


def test_only_old_summaries_of_peerkd_are_deleted(gateway: Gateway) -> None:
    gateway.groups = [
        group(700, job="peerkd", run="old", stage="s"),
        group(500, job="peerkd", run="young", stage="s"),
        group(9999, job="backup", run="old", stage="s"),
        group(9999, job="peerkd"),
    ]
    assert delete_old_summaries() == 1
    assert [(request.method, request.path) for request in gateway.requests] == [
        ("GET", "/api/v1/metrics"),
        ("DELETE", "/metrics/job/peerkd/run/old/stage/s"),
    ]


def test_without_an_address_nothing_is_done(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    monkeypatch.delenv("PEERKD_PUSHGATEWAY")
    assert not push_summary(DONE, run="r", stage="s")
    assert not delete_summary(run="r", stage="s")
    assert delete_old_summaries() == 0
    assert gateway.requests == []


def test_a_gateway_that_refuses_is_reported_once_and_never_fatal(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 400
    for _ in range(2):
        assert not push_summary(DONE, run="r", stage="train_pcl")
        assert not delete_summary(run="r", stage="train_pcl")
        assert delete_old_summaries() == 0
    assert capsys.readouterr().out == (
        f"peerkd | train_pcl: warning: the Pushgateway {gateway.address} failed, which affects no result: Bad Request\n"
    )


def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "127.0.0.1:{port}", "http://a b"])
def test_an_address_without_a_server_changes_nothing(
    address: str, monkeypatch: pytest.MonkeyPatch, gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PEERKD_PUSHGATEWAY", address.format(port=closed_port()))
    assert not push_summary(DONE, run="r", stage="s")
    assert not delete_summary(run="r", stage="s")
    assert delete_old_summaries() == 0
    assert capsys.readouterr().out.count("warning") == 1


@pytest.mark.parametrize("groups", [[{}], [{"labels": {"job": "peerkd", "run": "r", "stage": "s"}}], [7]])
def test_an_answer_of_another_server_changes_nothing(
    groups: list[dict[str, object]], gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.groups = groups
    assert delete_old_summaries() == 0
    assert "its response is not that of a Pushgateway" in capsys.readouterr().out


def test_a_real_pushgateway_agrees(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tests use a server that only keeps its requests."""
    program = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")
    if program is None:
        pytest.skip("there is no Pushgateway here; Debian has it in the package prometheus-pushgateway")
    address = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("PEERKD_PUSHGATEWAY", f"http://{address}")
    # Debian's Pushgateway keeps its groups on disk, also for the next test.
    command = [program, f"--web.listen-address={address}", "--persistence.file="]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        try:
            _until_ready(address)
            assert push_summary(DONE, run="a/b", stage="s")
            assert push_summary(DONE, run="c", stage="s")
            assert sorted(each[:2] for each in prometheus.pushed_groups(address)) == [("a/b", "s"), ("c", "s")]
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                assert (
                    'peerkd_job_gpu_seconds{instance="",job="peerkd",run="a/b",stage="s"} 724' in answer.read().decode()
                )
            assert delete_old_summaries() == 0
            assert delete_summary(run="a/b", stage="s")
            assert delete_old_summaries(older_than_seconds=-60) == 1
            for _ in range(100):
                if not prometheus.pushed_groups(address):
                    break
                time.sleep(0.05)
            assert prometheus.pushed_groups(address) == []
        finally:
            running.terminate()


def _until_ready(address: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the Pushgateway did not start")
