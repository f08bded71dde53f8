"""What a person sees while a run goes on, in a terminal and elsewhere."""

import io
import os
import pty
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from peerkd.cli import watch
from peerkd.cli.live import can_move_cursor, console_of, summary_of, view_of
from peerkd.cli.run_facts import facts_of
from peerkd.launch.invocations.files import invoking, list_invocations, name_run
from peerkd.launch.invocations.status import InvocationStatus, StageStatus

SCRIPT = """
import sys
from contextlib import ExitStack
from pathlib import Path
from peerkd.cli.live import showing
from peerkd.cli.run_facts import facts_of
from peerkd.launch.invocations.files import invoking
from peerkd.metrics.progress import pass_on
with invoking(Path(sys.argv[1]), pipeline="pcl", experiment="e", stages=["split_data", "train_pcl"]) as invocation:
    with showing(invocation, verbose="-v" in sys.argv, quiet="-q" in sys.argv):
        pass_on("split_data", "warning: few")
        for num in (1, 2):
            pass_on("train_pcl", f"{num} of 2 epochs ({num * 50}%)")
        pass_on("train_pcl", "done")
print("the result")
"""

ALL_LINES = (
    "split_data: warning: few\ntrain_pcl: 1 of 2 epochs (50%)\ntrain_pcl: 2 of 2 epochs (100%)\ntrain_pcl: done\n"
)


@pytest.mark.parametrize(("option", "told"), [("", ALL_LINES), ("-v", ALL_LINES), ("-q", "split_data: warning: few\n")])
def test_a_pipe_of_stdout_has_the_result_alone(tmp_path: Path, option: str, told: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *filter(None, [option])]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("the result\n", told)


def in_a_terminal(*arguments: str, **variables: str) -> str:
    """Run the script in a terminal, and return what it writes there."""
    reader, writer = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", **variables}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], stdout=writer, stderr=writer, env=environment
    ) as process:
        os.close(writer)
        written = b""
        while True:
            try:
                written += os.read(reader, 1000)
            except OSError:
                break
    os.close(reader)
    assert process.returncode == 0
    return written.decode().replace("\r\n", "\n")


def test_a_terminal_has_a_bar_and_keeps_the_lines_without_counts(tmp_path: Path) -> None:
    written = in_a_terminal(str(tmp_path))
    assert "\x1b[2K" in written
    assert "split_data: warning: few\n" in written
    assert "train_pcl: done\n" in written
    assert "train_pcl: 1 of 2" not in written
    assert written.rstrip().endswith("the result")


def test_a_terminal_without_colours_gets_none(tmp_path: Path) -> None:
    colours = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert not colours.search(in_a_terminal(str(tmp_path), NO_COLOR="1"))


@pytest.mark.parametrize(("option", "terminal"), [("", "dumb"), ("-v", "xterm"), ("-q", "xterm")])
def test_a_terminal_gets_plain_lines_where_a_bar_is_impossible_or_unwanted(
    tmp_path: Path, option: str, terminal: str
) -> None:
    written = in_a_terminal(str(tmp_path), option, TERM=terminal)
    assert "\x1b" not in written
    assert written.endswith("the result\n")


def test_a_file_is_no_terminal() -> None:
    assert not can_move_cursor(io.StringIO())
    assert not can_move_cursor(None)


@pytest.fixture
def status() -> InvocationStatus:
    stages = [StageStatus(name=name) for name in ("partition_data", "pretrain_peers", "distill_pairs")]
    status = InvocationStatus(pipeline="jointkd sweep", experiment="digits", started_at=0.0, stages=stages)
    status.take("partition_data", "3 peers with 120 training samples each of a data set with a long name", now=1)
    for worker in range(10):
        status.take("pretrain_peers", f"worker {worker}: 1 of 10 epochs (10%), 1 a second, about 9 s left", now=2)
    return status


@pytest.mark.parametrize("width", [40, 60, 200])
def test_a_view_fits_its_terminal(status: InvocationStatus, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    facts = facts_of(status, title="digits-iid-0123", state="running", now=3.0)
    console_of(out).print(summary_of(facts, width=width))
    console_of(out).print(view_of(facts, width=width))
    shown = out.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    if width < 60:
        return
    assert "2 of 3: pretrain_peers" in shown
    assert "* pretrain_peers: 1 of 10 epochs (10%); 1 s" in shown
    assert "worker 7, 1 s ago: 1 of 10" in shown
    assert "and 2 more workers" in shown


def test_an_ended_view_says_why(status: InvocationStatus) -> None:
    status.end("failed", now=3.0, message="The store does not answer.")
    out = io.StringIO()
    console_of(out).print(view_of(facts_of(status, title="digits", state="failed", now=9.0), width=80))
    assert "The store does not answer." in out.getvalue()


def test_a_watch_prints_the_lines_of_a_run_as_they_come_and_follows_its_next_invocation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def invocation_once() -> None:
        with invoking(tmp_path, pipeline="pcl", experiment="digits", stages=["split_data"]) as writer:
            name_run("run/0123456789abcdef", experiment="digits", skew="pcl")
            writer.take("split_data", "300 samples")

    with invoking(tmp_path, pipeline="pcl", experiment="digits", stages=["split_data"]) as writer:
        name_run("run/0123456789abcdef", experiment="digits", skew="pcl")
        writer.take("split_data", "100 samples")
        waits = iter([lambda: writer.take("split_data", "200 samples"), invocation_once])
        assert watch.watch_here(tmp_path, "digits", timeout_seconds=None, wait=lambda _: next(waits)()) == 0
    told = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "split_data: 100 samples",
        "split_data: 200 samples",
        "split_data: 300 samples",
        "finished",
        "finished",
    ]


def test_a_watch_that_times_out_has_its_own_exit_code(peerkd, tmp_path: Path) -> None:
    with invoking(tmp_path / "runs", pipeline="pcl", experiment="digits", stages=["split_data"]):
        outcome = peerkd("watch", "latest", "--timeout", "0")
    assert (outcome.exit_code, outcome.out) == (4, "digits: running\n")
    assert peerkd("watch", "latest").exit_code == 0


def test_ctrl_c_ends_a_watch_and_not_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with invoking(tmp_path, pipeline="pcl", experiment="digits", stages=["split_data"]):
        assert watch.watch_here(tmp_path, "latest", timeout_seconds=None, wait=interrupt) == 5
        assert capsys.readouterr().err == "peerkd: no longer watching digits, which continues.\n"


def test_logs_have_all_invocations_the_first_one_first(peerkd, tmp_path: Path) -> None:
    for num in (1, 2):
        with invoking(tmp_path / "runs", pipeline="pcl", experiment="digits", stages=["split_data"]) as writer:
            name_run("run/0123456789abcdef", experiment="digits", skew="pcl")
            writer.take("split_data", f"{num} samples")
    assert len(list_invocations(tmp_path / "runs")) == 2
    lines = peerkd("logs", "latest").out.splitlines()
    assert [line.partition(" ")[2] for line in lines if "samples" in line] == [
        "split_data: 1 samples",
        "split_data: 2 samples",
    ]
    assert '"stage": "split_data", "text": "1 samples"' in peerkd("logs", "digits", "--json").out
    for num in (1, len(lines) - 1, len(lines) + 1):
        assert peerkd("logs", "latest", "--tail", str(num)).out.splitlines() == lines[-num:]


def test_logs_follow_a_run_until_it_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        writer = stack.enter_context(invoking(tmp_path, pipeline="pcl", experiment="e", stages=["split_data"]))
        writer.take("split_data", "100 samples")
        waits = iter([lambda: writer.take("split_data", "200 samples"), stack.close])
        watch.show_logs(tmp_path, "latest", follow=True, as_json=False, wait=lambda _: next(waits)())
    told = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == ["split_data: 100 samples", "split_data: 200 samples", "finished"]
