import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from peerkd.metrics.progress import (
    Counts,
    Progress,
    mark_worker,
    pass_on,
    print_line,
    split_note,
    split_worker,
    taking_lines,
)
from peerkd.metrics.recorder import recording_to
from tests.unit.metrics.recorded import Recorded


class Clock:
    """A clock that only moves when a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def start(clock: Clock, lines: list[str]) -> Callable[..., Callable[..., None]]:
    """Start a progress counter. Return a function that lets time pass and then counts units."""

    def begin(total: int, *, num_done: int = 0, interval_seconds: float = 2.0) -> Callable[..., None]:
        progress = Progress(
            "distill_pairs",
            unit="trials",
            total=total,
            num_done=num_done,
            interval_seconds=interval_seconds,
            clock=clock,
            write=lambda stage, text: lines.append(f"{stage}: {text}"),
        )

        def advance(after_seconds: float, num: int = 1) -> None:
            clock.now += after_seconds
            progress.advance(num)

        return advance

    return begin


def test_a_line_for_people_is_marked_and_flushed(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("distill_pairs", "7 of 9")
    assert capsys.readouterr() == ("peerkd | distill_pairs: 7 of 9\n", "")


def test_no_line_is_printed_before_the_interval_is_over(start, lines: list[str]) -> None:
    advance = start(100)
    for _ in range(19):
        advance(0.1)
    assert lines == []
    advance(0.1)
    assert len(lines) == 1


def test_the_next_line_waits_for_the_next_interval(start, lines: list[str]) -> None:
    advance = start(1000)
    for _ in range(100):
        advance(0.5)
    assert len(lines) == 25


def test_the_rate_begins_after_the_first_unit_which_includes_the_start(start, lines: list[str]) -> None:
    advance = start(100)
    advance(60)
    advance(5, num=9)
    assert lines == [
        "distill_pairs: 1 of 100 trials (1%)",
        "distill_pairs: 10 of 100 trials (10%), 1.8 a second, about 50 s left",
    ]


def test_there_is_no_rate_before_it_was_measured_for_an_interval(start, lines: list[str]) -> None:
    advance = start(100)
    advance(1.5)
    advance(1.0)
    assert lines == ["distill_pairs: 2 of 100 trials (2%)"]


def test_a_resumed_run_does_not_appear_faster(start, lines: list[str]) -> None:
    advance = start(1000, num_done=900)
    advance(1)
    advance(10, num=5)
    # At five units in ten seconds, 94 units take 188 seconds. The 900 units of an earlier run do not count.
    assert lines == ["distill_pairs: 906 of 1,000 trials (91%), 0.5 a second, about 3 min left"]


def test_the_end_is_always_reported_with_the_time_from_the_start(start, lines: list[str]) -> None:
    advance = start(3, interval_seconds=1000)
    advance(30)
    advance(1)
    assert lines == []
    advance(1)
    assert lines == ["distill_pairs: 3 of 3 trials (100%) in 32 s"]


def test_a_single_unit_is_reported_with_its_time(start, lines: list[str]) -> None:
    start(1)(75)
    assert lines == ["distill_pairs: 1 of 1 trials (100%) in 75 s"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5990, "100 min"), (6000, "1.7 h"), (360_000, "100.0 h")],
)
def test_durations_have_a_suitable_unit(start, lines: list[str], seconds: float, told: str) -> None:
    start(1)(seconds)
    assert lines[-1].endswith(f" in {told}")


@pytest.mark.parametrize(
    ("num", "seconds", "rate"), [(5000, 2, "2500"), (100, 10, "10"), (15, 10, "1.5"), (1, 3, "0.33"), (1, 500, "0.002")]
)
def test_rates_have_at_least_two_digits(start, lines: list[str], num: int, seconds: float, rate: str) -> None:
    advance = start(1_000_000)
    advance(0)
    advance(seconds, num=num)
    assert f", {rate} a second, about " in lines[-1]


def test_units_of_an_earlier_attempt_are_not_part_of_the_rate(clock: Clock, lines: list[str]) -> None:
    progress = Progress(
        "s", unit="epochs", total=100, clock=clock, write=lambda stage, text: lines.append(f"{stage}: {text}")
    )
    progress.advance()
    for _ in range(4):
        clock.now += 1
        progress.recover(10)
        progress.advance()
    assert lines[-1] == "s: 45 of 100 epochs (45%), 1.0 a second, about 55 s left"


def test_the_counts_are_in_the_metrics_too(clock: Clock) -> None:
    taker = Recorded()
    with recording_to(taker):
        progress = Progress("s", unit="trials", total=10, num_done=2, clock=clock, write=lambda stage, text: None)
        assert (taker.values["trials_done"], taker.values["trials_left"]) == (2, 8)
        assert taker.values["trials_total"] == 0
        progress.recover(3)
        progress.advance()
        progress.advance(2)
        assert (taker.values["trials_done"], taker.values["trials_left"]) == (8, 2)
        progress.follow(1)
    assert (taker.values["trials_done"], taker.values["trials_left"]) == (9, 1)
    assert taker.values["trials_total"] == 3


def test_a_count_above_the_total_leaves_nothing(clock: Clock) -> None:
    taker = Recorded()
    with recording_to(taker):
        Progress("s", unit="epochs", total=1, clock=clock, write=lambda stage, text: None).advance(2)
    assert (taker.values["epochs_done"], taker.values["epochs_left"]) == (2, 0)


def test_a_full_disk_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr("sys.stdout", full)
        print_line("count", "1 of 2")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_closed_output_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with suppress(BrokenPipeError), open(writing, "w", buffering=1) as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(BrokenPipeError):
            print_line("count", "1 of 2")


def test_the_counts_of_a_line_are_read_again(start, lines: list[str]) -> None:
    advance = start(total=5590)
    advance(3.0, num=1234)
    advance(3.0, num=4356)
    texts = [line.partition(": ")[2] for line in lines]
    assert [Counts.read(text) for text in texts] == [Counts(1234, 5590, "trials"), Counts(5590, 5590, "trials")]
    assert Counts.read("87 trials, fingerprint 0") is None
    assert Counts(1, 0, "trials").fraction == 1


def test_a_note_follows_the_counts_and_is_replaced(clock: Clock) -> None:
    texts: list[str] = []
    progress = Progress("distill_pairs", unit="trials", total=2, clock=clock, write=lambda _, text: texts.append(text))
    for note in ("best 1", "best 2"):
        clock.now += 2.0
        progress.note(note)
        progress.advance()
    assert [split_note(text) for text in texts] == [
        ("1 of 2 trials (50%)", "best 1"),
        ("2 of 2 trials (100%) in 4 s", "best 2"),
    ]
    assert Counts.read(texts[-1]) == Counts(2, 2, "trials")
    assert split_note("3 peers; test accuracy 10%") == ("3 peers; test accuracy 10%", "")


def test_the_worker_of_a_line_is_read_again() -> None:
    assert split_worker(mark_worker(12) + "5 of 6") == (12, "5 of 6")
    # A launcher on Kubernetes marks the lines of its workers in this way.
    assert split_worker("[worker 3] 5 of 6") == (3, "5 of 6")
    assert split_worker("5 of 6") == (0, "5 of 6")


def test_the_lines_of_a_process_can_be_taken_and_others_are_shown_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken: list[tuple[str, str]] = []
    with taking_lines(lambda stage, text: taken.append((stage, text))):
        print_line("a", "1")
        pass_on("b", "2")
    pass_on("c", "3")
    assert taken == [("a", "1"), ("b", "2")]
    assert capsys.readouterr() == ("", "c: 3\n")
