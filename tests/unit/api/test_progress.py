"""A function of the caller follows a run through its lines, and interrupts it by an exception."""

import io
import threading
from contextlib import redirect_stdout

import pytest

from peerkd.api.progress import RunProgress, reporting_progress
from peerkd.metrics.progress import print_line

RUN = {"pipeline": "jointkd sweep", "experiment": "digits", "stages": ("partition_data", "distill_pairs")}


def test_a_function_receives_each_line_with_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[RunProgress] = []
    with reporting_progress(seen.append, **RUN):
        print_line("partition_data", "warning: few samples")
        print_line("distill_pairs", "worker 1: 30 of 40 trials (75%), 2 a second; largest gain so far +1.0 points")
    first, second = seen
    assert (first.stage, first.text, first.num_done) == ("partition_data", "warning: few samples", None)
    assert (second.stages, second.worker) == (("partition_data", "distill_pairs"), 1)
    assert (second.num_done, second.total, second.unit) == (30, 40, "trials")
    assert 0 == first.fraction < second.fraction < 1
    assert second.text.startswith("30 of 40 trials")
    assert capsys.readouterr().out == ""


def test_what_the_function_prints_is_printed_while_the_run_takes_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting_progress(lambda progress: print(progress.stage), **RUN), redirect_stdout(io.StringIO()):  # noqa: T201
        print_line("partition_data", "done")
    assert capsys.readouterr().out == "partition_data\n"


def test_without_a_function_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting_progress(None, **RUN):
        print_line("partition_data", "done")
    assert "partition_data: done" in capsys.readouterr().out


def test_an_exception_of_the_function_passes_handlers_of_errors_and_ends_the_block() -> None:
    def stop(progress: RunProgress) -> None:
        raise ValueError(progress.text)

    def work() -> None:
        try:
            print_line("distill_pairs", "enough")
        except Exception:
            pytest.fail("the exception was handled as an error of the stage")

    with pytest.raises(ValueError, match=r"^enough$"), reporting_progress(stop, **RUN):
        work()
    with pytest.raises(KeyboardInterrupt), reporting_progress(lambda progress: None, **RUN):
        raise KeyboardInterrupt


def test_lines_of_other_threads_do_not_reach_the_function() -> None:
    seen: list[RunProgress] = []
    with reporting_progress(seen.append, **RUN):
        thread = threading.Thread(target=print_line, args=("distill_pairs", "the store does not answer"))
        thread.start()
        thread.join()
    assert seen == []
