import errno
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from peerkd import errors
from peerkd.errors import (
    DataSourceError,
    MachineError,
    PeerKDError,
    StoreUnavailableError,
    WorkerDiedError,
    WorkspaceBusyError,
)
from peerkd.launch import exit_codes
from peerkd.launch.exit_codes import (
    ERROR_FILE_VARIABLE,
    RUNNER_PID_VARIABLE,
    TERMINATION_LOG_VARIABLE,
    exiting_on_errors,
    num_memory_kills,
    read_error_file,
    reserve_error_file,
)
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.pods import failure_of
from peerkd.system_errors import translate
from tests.fake_kubernetes.operator import ended


@pytest.fixture(autouse=True)
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    monkeypatch.setenv(TERMINATION_LOG_VARIABLE, str(path))
    return path


@pytest.fixture
def error_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "error.json"
    monkeypatch.setenv(ERROR_FILE_VARIABLE, str(path))
    monkeypatch.delenv(RUNNER_PID_VARIABLE, raising=False)
    return path


def run_stage(error: BaseException | None) -> None:
    with exiting_on_errors("pretrain_peers"):
        if error is not None:
            raise error


def test_a_stage_that_works_leaves_no_error(error_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_stage(None)
    assert not error_file.exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["0", "-1", "one", "9" * 5000])
def test_a_runner_that_is_no_process_is_refused(error_file: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(RUNNER_PID_VARIABLE, text)
    with pytest.raises(SystemExit):
        run_stage(None)
    told = json.loads(error_file.read_text())
    assert told["exit_code"] == 2
    assert told["message"].startswith("PEERKD_RUNNER_PID must be the number of a process, got ")


OUTCOMES = [
    (ValueError("seed must be at least 0, got -1."), 2),
    (DataSourceError("data.npz is truncated."), 2),
    (WorkspaceBusyError("Another process is at work."), 1),
    (PeerKDError("Something outside."), 1),
    (WorkerDiedError("A process ended."), 1),
    (WorkerDiedError("A process was killed.", was_killed=True), 138),
    (StoreUnavailableError("The store does not answer."), 138),
    (MachineError("The disk failed.", may_pass=True), 138),
    (MachineError("The system refused."), 1),
]
"""Errors and their exit codes: 2 for mistakes that the user can fix, 138 for failures outside the program that another
attempt may survive, and 1 for other failures."""


@pytest.mark.parametrize(("error", "exit_code"), OUTCOMES)
def test_an_error_goes_to_the_runner_and_to_the_termination_message_of_the_container(
    error_file: Path, termination_log: Path, capsys: pytest.CaptureFixture[str], error: Exception, exit_code: int
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_stage(error)
    assert caught.value.code == exit_code
    assert json.loads(error_file.read_text()) == {"message": str(error), "exit_code": exit_code}
    assert termination_log.read_text() == str(error)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("error", "exit_code"), OUTCOMES)
def test_an_error_without_a_runner_is_printed_by_the_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, exit_code: int
) -> None:
    monkeypatch.delenv(ERROR_FILE_VARIABLE, raising=False)
    monkeypatch.delenv(RUNNER_PID_VARIABLE, raising=False)
    with pytest.raises(SystemExit) as caught:
        run_stage(error)
    assert caught.value.code == exit_code
    assert capsys.readouterr() == (f"peerkd | pretrain_peers: error: {error}\n", "")


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_worker_process_that_the_kernel_killed_for_memory_is_reported_as_such(
    error_file: Path, termination_log: Path, monkeypatch: pytest.MonkeyPatch, is_counted: bool
) -> None:
    numbers = iter([3, 4 if is_counted else 3])
    monkeypatch.setattr(exit_codes, "num_memory_kills", lambda: next(numbers))
    with pytest.raises(SystemExit) as caught:
        run_stage(WorkerDiedError("A process ended.", was_killed=True))
    assert caught.value.code == 138
    wanted = "A process ended. Memory ran out." if is_counted else "A process ended."
    assert json.loads(error_file.read_text())["message"] == wanted
    pod = {"metadata": {"uid": "u", "labels": {}}, "status": ended(138, message=termination_log.read_text())}
    failure = failure_of(pod, PYTORCHJOB)
    assert failure is not None
    assert (failure.message, failure.is_out_of_memory) == (wanted, is_counted)


@pytest.mark.parametrize(
    ("counter", "expected"),
    [
        ("low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", 7),
        ("oom_kill_disable 0\n", 0),
        (None, 0),
    ],
)
def test_what_the_kernel_has_killed_for_memory_is_counted(tmp_path: Path, counter: str | None, expected: int) -> None:
    path = tmp_path / "memory.events"
    if counter is not None:
        path.write_text(counter)
    assert num_memory_kills((tmp_path / "none", path)) == expected


@pytest.mark.parametrize("name", [name for name, kind in vars(errors).items() if isinstance(kind, type)])
def test_every_error_of_peerkd_is_in_the_tree_and_in_its_picture(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, PeerKDError)
    assert not issubclass(kind, ValueError)
    assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("defect", [KeyError("x"), TypeError("x"), ZeroDivisionError("x"), KeyboardInterrupt()])
def test_a_defect_passes_with_its_traceback(error_file: Path, defect: BaseException) -> None:
    with pytest.raises(type(defect)) as caught:
        run_stage(defect)
    assert caught.value is defect
    assert not error_file.exists()


def test_a_long_error_is_cut_for_the_container_and_whole_for_the_runner(
    error_file: Path, termination_log: Path
) -> None:
    with pytest.raises(SystemExit):
        run_stage(PeerKDError("x" * 5000))
    assert termination_log.stat().st_size == 4096
    assert len(json.loads(error_file.read_text())["message"]) == 5000


def test_an_unwritable_termination_message_hides_no_error(
    error_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(TERMINATION_LOG_VARIABLE, str(tmp_path))
    with pytest.raises(SystemExit):
        run_stage(PeerKDError("Something outside."))
    assert json.loads(error_file.read_text())["message"] == "Something outside."


TOLD = textwrap.dedent(
    """
    import sys, time
    from peerkd.launch.exit_codes import exiting_on_sigterm, exiting_on_errors

    with exiting_on_errors("pretrain_peers"), exiting_on_sigterm(within_seconds=float(sys.argv[1])):
        try:
            print("at work", flush=True)
            time.sleep(60)
        finally:
            time.sleep(float(sys.argv[2]))
            print("saved", flush=True)
    """
)


@pytest.mark.parametrize(("within_seconds", "seconds", "said"), [("20", "0", b"saved\n"), ("0.3", "60", b"")])
def test_a_stopped_stage_saves_its_work_within_its_time_limit(within_seconds: str, seconds: str, said: bytes) -> None:
    command = [sys.executable, "-c", TOLD, within_seconds, seconds]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stage:
        assert stage.stdout is not None
        assert stage.stdout.readline() == b"at work\n"
        stage.terminate()
        assert stage.stdout.read() == said
        assert stage.wait(timeout=30) == 143


STAGE = textwrap.dedent(
    """
    import time
    from peerkd.launch.exit_codes import exiting_on_errors

    with exiting_on_errors("pretrain_peers"):
        print("at work", flush=True)
        time.sleep(60)
    """
)


def test_a_stage_continues_while_its_runner_lives_and_ends_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as runner:
        environment = {**os.environ, RUNNER_PID_VARIABLE: str(runner.pid)}
        with subprocess.Popen([sys.executable, "-c", STAGE], stdout=subprocess.PIPE, env=environment) as stage:
            try:
                assert stage.stdout is not None
                assert stage.stdout.readline() == b"at work\n"
                time.sleep(0.5)
                assert stage.poll() is None
                runner.kill()
                runner.wait()
                assert stage.wait(timeout=2) == 1
            finally:
                stage.kill()
                runner.kill()


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/nowhere/a"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "/nowhere/a"), 2),
        (OSError(errno.EIO, "Input/output error", "/nowhere/a"), 138),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/nowhere/a"), 1),
        (MemoryError("Unable to allocate 8.00 PiB"), 138),
    ],
)
def test_an_error_of_the_system_is_a_sentence_and_no_traceback(
    error_file: Path, error: Exception, exit_code: int
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_stage(error)
    assert caught.value.code == exit_code
    assert read_error_file(error_file) == (str(translate(error)), exit_code)


def test_an_error_fits_into_the_reserved_file_and_is_printed_where_no_space_is_left(
    error_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reserve_error_file(error_file)
    assert read_error_file(error_file) is None
    num_bytes = error_file.stat().st_size
    with pytest.raises(SystemExit):
        run_stage(ValueError("seed must be at least 0, got -1."))
    assert error_file.stat().st_size == num_bytes
    assert read_error_file(error_file) == ("seed must be at least 0, got -1.", 2)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv(ERROR_FILE_VARIABLE, "/dev/full")
    with pytest.raises(SystemExit) as caught:
        run_stage(ValueError("seed must be at least 0, got -1."))
    assert caught.value.code == 2
    assert capsys.readouterr().out == "peerkd | pretrain_peers: error: seed must be at least 0, got -1.\n"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"message": "x"}', "3"])
def test_a_truncated_error_file_reports_nothing(error_file: Path, content: str) -> None:
    assert read_error_file(error_file) is None
    error_file.write_text(content)
    assert read_error_file(error_file) is None
