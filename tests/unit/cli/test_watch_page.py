"""The page of a run in progress, asked for as a browser does."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from peerkd.cli import watch
from peerkd.cli.run_facts import facts_of
from peerkd.cli.watch_page import allowed_hosts, serving
from peerkd.launch.invocations.files import invoking
from peerkd.launch.invocations.status import InvocationStatus, StageStatus
from peerkd.metrics.progress import gain_note


@pytest.fixture
def status() -> InvocationStatus:
    stages = [StageStatus(name=name) for name in ("partition_data", "distill_pairs", "build_report")]
    status = InvocationStatus(pipeline="jointkd sweep", experiment="digits", started_at=0.0, stages=stages)
    status.take("partition_data", "3 peers", now=1.0)
    for num, gain in ((1, 0.011), (2, 0.011), (4, 0.025), (6, 0.02)):
        note = gain_note(gain, student=1, teacher="<b>north</b>")
        status.take("distill_pairs", f"worker {num % 2}: {num} of 8 trials ({num / 8:.0%}); {note}", now=num + 1.0)
    return status


@pytest.fixture
def address(status: InvocationStatus) -> Iterator[str]:
    with serving(lambda: facts_of(status, title="digits-iid-0123", state="running", now=9.0)) as address:
        yield address


def ask(address: str, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_page_has_the_facts_of_the_terminal(address: str, status: InvocationStatus) -> None:
    code, headers, body = ask(address, "/facts.json")
    facts = json.loads(body)
    assert (code, headers["Content-Type"], headers["Cache-Control"]) == (
        200,
        "application/json; charset=utf-8",
        "no-store",
    )
    assert facts == json.loads(json.dumps(asdict(facts_of(status, title="digits-iid-0123", state="running", now=9.0))))
    assert facts["gains"] == [[1, 1.1], [4, 2.5]]
    assert (facts["num_done"], facts["num_units"], facts["unit"], facts["num_begun"]) == (6, 8, "trials", 2)
    assert [(stage["state"], stage["text"]) for stage in facts["stages"]] == [
        ("done", "3 peers"),
        ("running", "6 of 8 trials (75%)"),
        ("waiting", ""),
    ]
    after = facts_of(status, title="digits", state="interrupted", now=9.0)
    assert [stage.state for stage in after.stages] == ["done", "stopped", "waiting"]
    assert [(worker["index"], worker["ago"]) for worker in facts["workers"]] == [(0, "2 s"), (1, "7 s")]


def test_every_file_that_the_page_names_is_there(address: str) -> None:
    code, headers, page = ask(address, "/")
    assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    named = [part.split('"')[0] for mark in (' src="', 'stylesheet" href="') for part in page.decode().split(mark)[1:]]
    assert len(named) == 5
    for path in named:
        assert ask(address, path)[0] == 200
    # No network and no other site: the policy allows what this server has, and the page names nothing else.
    assert "http" not in page.decode()
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "method", "host", "code"),
    [
        ("/../../etc/passwd", "GET", None, 404),
        ("/facts.json?x", "GET", None, 404),
        ("/facts.json", "GET", "rebound.example", 403),
        ("/facts.json", "GET", "127.0.0.1:1", 403),
        ("/facts.json", "POST", None, 501),
        ("/facts.json", "DELETE", None, 501),
    ],
)
def test_nothing_else_is_served(address: str, path: str, method: str, host: str | None, code: int) -> None:
    status, _, body = ask(address, path, method=method, host=host)
    assert status == code
    assert b"digits" not in body


def test_a_browser_leaves_out_the_default_port() -> None:
    assert allowed_hosts(8080) == {"127.0.0.1:8080", "localhost:8080"}
    assert allowed_hosts(80) >= {"127.0.0.1", "localhost", "127.0.0.1:80"}


def test_the_page_is_there_until_ctrl_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def look_and_interrupt(_seconds: float) -> None:
        (line,) = capsys.readouterr().out.splitlines()
        addresses.append(line)
        assert json.loads(ask(line, "/facts.json")[2])["state"] == "running"
        raise KeyboardInterrupt

    addresses: list[str] = []
    with invoking(tmp_path, pipeline="pcl", experiment="digits", stages=["split_data"]):
        assert watch.watch_on_page(tmp_path, "latest", port=0, timeout_seconds=None, wait=look_and_interrupt) == 5
    with pytest.raises(ConnectionRefusedError):
        ask(addresses[0], "/")
    assert watch.watch_on_page(tmp_path, "latest", port=0, timeout_seconds=0) == 0


def test_a_port_that_is_in_use_is_refused(address: str, tmp_path: Path) -> None:
    port = urlsplit(address).port
    assert port is not None
    with (
        pytest.raises(ValueError, match=f"^port must be a free port of this machine, got {port}: "),
        serving(lambda: pytest.fail("nobody asks"), port=port),
    ):
        pass
