import threading

import pytest

from peerkd.launch.kubernetes.assessment import Assessment, JobPhase
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.output import Printer, failure_message, with_worker
from peerkd.launch.kubernetes.pods import failure_of
from tests.unit.launch.kubernetes.objects import ended, pod


@pytest.mark.parametrize(
    ("line", "num_workers", "expected"),
    [
        ("peerkd | train: 1 of 2", 2, "peerkd | train: [worker 1] 1 of 2"),
        ("peerkd | train: 1 of 2", 1, "peerkd | train: 1 of 2"),
        ("peerkd | train: a: b", 2, "peerkd | train: [worker 1] a: b"),
        ("peerkd | odd", 2, "peerkd | odd [worker 1]"),
        ("noise", 2, "[worker 1] noise"),
        ("noise", 1, "[worker 1] noise"),
    ],
)
def test_lines_carry_their_worker(line: str, num_workers: int, expected: str) -> None:
    assert with_worker(line, 1, num_workers=num_workers) == expected


def test_lines_are_printed_in_order_and_the_last_are_kept_without_progress() -> None:
    out: list[str] = []
    printer = Printer(num_workers=2, write=out.append)
    printer.print_line("train", "begins")
    for number in range(100):
        printer.take(1, f"line {number}")
    printer.take(1, "peerkd | train: 5 of 9")
    printer.flush(timeout_seconds=10)
    assert out[:2] == ["peerkd | train: begins", "[worker 1] line 0"]
    assert len(out) == 102
    assert printer.last_lines(1)[-1] == "line 99"
    assert len(printer.last_lines(1)) == 39
    assert printer.last_lines(0) == []


def test_a_worker_cannot_control_the_terminal_of_the_user() -> None:
    out: list[str] = []
    printer = Printer(num_workers=1, write=out.append)
    printer.take(0, "\x1b]0;title\x07 a\tb \x9b2J \r\b naïve")
    printer.flush(timeout_seconds=10)
    assert out == ["[worker 0] \ufffd]0;title\ufffd a\tb \ufffd2J \ufffd\ufffd naïve"]
    assert list(printer.last_lines(0)) == ["\ufffd]0;title\ufffd a\tb \ufffd2J \ufffd\ufffd naïve"]


def test_a_blocked_reader_does_not_delay_the_launcher() -> None:
    let_go = threading.Event()
    printer = Printer(num_workers=1, write=lambda _: let_go.wait())
    for _ in range(2001):
        printer.take(0, "line")
    printer.print_line("train", "this is dropped")
    printer.flush(timeout_seconds=0.05)
    let_go.set()


def test_a_closed_reader_is_no_failure() -> None:
    num_tries = []

    def gone(line: str) -> None:
        num_tries.append(line)
        raise BrokenPipeError

    printer = Printer(num_workers=1, write=gone)
    printer.take(0, "one")
    printer.take(0, "two")
    printer.flush(timeout_seconds=10)
    assert len(num_tries) == 2


def failed(message: str) -> Assessment:
    return Assessment(
        JobPhase.FAILED, "worker 1 ended with exit code 1", failure_of(pod(1, ended(1, message=message)), PYTORCHJOB)
    )


def test_the_last_message_of_a_worker_is_the_reason_of_its_failure() -> None:
    message = failure_message("train_pcl", "job-1", failed("The disk is full."), ["a", "b"])
    assert message == (
        "train_pcl failed in job job-1: worker 1 ended with exit code 1: The disk is full.\nIts last lines were:\na\nb"
    )


def test_the_end_of_the_log_is_used_where_a_worker_left_no_message() -> None:
    assert failure_message("s", "j", failed("x\ny"), []).endswith("exit code 1.\nIts last lines were:\nx\ny")
    assert failure_message("s", "j", failed("x\ny"), ["kept"]).endswith("exit code 1.\nIts last lines were:\nkept")


def test_only_the_last_lines_are_reported() -> None:
    message = failure_message("s", "j", failed(""), [str(number) for number in range(100)])
    assert message.splitlines()[2:] == [str(number) for number in range(80, 100)]


def test_without_a_worker_the_assessment_is_the_whole_message() -> None:
    assert (
        failure_message("s", "j", Assessment(JobPhase.DELETED, "its job was deleted"), [])
        == "s failed in job j: its job was deleted."
    )
