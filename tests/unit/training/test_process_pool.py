import errno
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from peerkd.errors import DataSourceError, WorkerDiedError
from peerkd.training.process_pool import OpenTask, TaskFunction, _context, _serve, run_in_processes
from tests.debugger import no_processes

HERE = "tests.unit.training.test_process_pool"

is_forked = pytest.mark.skipif(
    sys.platform == "darwin" or "forkserver" not in multiprocessing.get_all_start_methods(),
    reason="processes are not forked on this platform",
)


def tagged(tasks):
    return [(f"tag {task}", task) for task in tasks]


def squares(offset: int, *, process_index: int) -> TaskFunction:
    def perform(task: int) -> Iterator[int]:
        yield task**2 + offset
        yield task**2 - offset

    return perform


def misfortunes(*, process_index: int) -> TaskFunction:
    def perform(task: str) -> Iterator[int]:
        match task:
            case "refuse":
                raise DataSourceError("The file is gone.")
            case "break":
                raise ZeroDivisionError("one by zero")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(60)
        yield 1

    return perform


def opened(log: Path, *, process_index: int) -> TaskFunction:
    def perform(task: int) -> Iterator[int]:
        if task < 0:
            raise ValueError("task must be at least 0.")
        yield task

    return OpenTask(perform, lambda: log.write_text("closed"))


def identities(*, process_index: int) -> TaskFunction:
    import torch

    def perform(task: int) -> Iterator[tuple[int, int, int]]:
        time.sleep(0.05)
        yield process_index, os.getpid(), torch.get_num_threads()

    return perform


class TestInTheCallingProcess:
    @pytest.fixture(autouse=True)
    def _no_processes(self):
        with no_processes():
            yield

    def test_tasks_are_done_one_after_another_each_with_its_tag(self):
        asked = []

        def tasks():
            for task in (2, 3):
                asked.append(task)
                yield f"tag {task}", task

        results = run_in_processes(f"{HERE}:squares", (1,), tasks(), num_processes=0)
        assert next(results) == ("tag 2", 5)
        assert asked == [2]
        assert list(results) == [("tag 2", 3), ("tag 3", 10), ("tag 3", 8)]

    def test_results_are_those_of_one_thread_and_the_callers_threads_come_back(self):
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            results = list(run_in_processes(f"{HERE}:identities", (), tagged(range(2)), num_processes=0))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert results == [(f"tag {task}", (0, os.getpid(), 1)) for task in range(2)]

    def test_missing_tasks_are_requested_again(self):
        tasks = iter([None, ("late", 1), None])
        results = run_in_processes(f"{HERE}:squares", (0,), tasks, num_processes=0, poll_seconds=0.001)
        assert list(results) == [("late", 1), ("late", 1)]

    def test_requests_become_rare_while_nothing_changes(self, monkeypatch):
        slept = []
        monkeypatch.setattr("time.sleep", slept.append)
        tasks = iter([*[None] * 40, ("late", 1), None])
        list(run_in_processes(f"{HERE}:squares", (0,), tasks, num_processes=0))
        waits = [round(each, 2) for each in slept]
        assert waits[:4] == [1.0, 1.25, 1.56, 1.95]
        # The tenth request of 10 s comes after less than a minute, and a task makes requests frequent again.
        assert (waits[11:40], waits[40:]) == ([10.0] * 29, [1.0])

    def test_an_error_propagates_unchanged(self):
        for task, kind in (("refuse", DataSourceError), ("break", ZeroDivisionError)):
            with pytest.raises(kind) as caught:
                list(run_in_processes(f"{HERE}:misfortunes", (), tagged([task]), num_processes=0))
            assert caught.traceback[-1].name == "perform"

    @pytest.mark.parametrize("tasks", [[1, 2], [1, -1]])
    def test_what_was_opened_is_closed_at_the_end_and_after_an_error(self, tasks: list[int], tmp_path: Path):
        log = tmp_path / "log"
        with suppress(ValueError):
            for _ in run_in_processes(f"{HERE}:opened", (log,), tagged(tasks), num_processes=0):
                assert not log.exists()
        assert log.read_text() == "closed"

    def test_without_tasks_nothing_is_imported(self):
        assert list(run_in_processes("no.such:module", (), [], num_processes=0)) == []


@pytest.mark.parametrize("num_processes", [1, 5])
def test_every_task_is_done_once_and_every_result_comes_back(num_processes):
    results = run_in_processes(f"{HERE}:squares", (1,), tagged(range(7)), num_processes=num_processes)
    assert sorted(results) == sorted((f"tag {task}", task**2 + sign) for task in range(7) for sign in (1, -1))


def imported(*, process_index: int) -> TaskFunction:
    def perform(task: str) -> Iterator[bool]:
        yield task in sys.modules

    return perform


@is_forked
def test_processes_are_forked_with_the_preloaded_modules():
    # In another process, because the fork server of this one may have been started by another test.
    script = f"""
        from peerkd.training.process_pool import run_in_processes
        tasks = [(name, name) for name in ("colorsys", "chunk")]
        print(dict(run_in_processes("{HERE}:imported", (), tasks, num_processes=1, preload=["colorsys"])))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "{'colorsys': True, 'chunk': False}", said.stderr


TRACE = "PEERKD_TEST_TRACE"
TRACE_FOLDER = os.environ.get(TRACE)


class Teardown:
    """An object that leaves a folder as a trace when its module is finalised."""

    # Global names are gone by then, so the function is bound here.
    def __del__(self, mkdir=os.mkdir, trace=TRACE_FOLDER) -> None:
        if trace:
            mkdir(trace)


TORN_DOWN_AT_THE_END = Teardown()


def collector(*, process_index: int) -> TaskFunction:
    oldest_generation = gc.get_stats()[2]

    def perform(task: str) -> Iterator[tuple[bool, bool, int]]:
        yield gc.isenabled(), gc.get_freeze_count() > 0, oldest_generation["collections"]

    return perform


@is_forked
def test_the_fork_server_collects_no_garbage_and_exits_immediately(tmp_path: Path) -> None:
    script = f"""
        from peerkd.training.process_pool import run_in_processes
        print(*run_in_processes("{HERE}:collector", (), [("", "")], num_processes=1, preload=["torch"]))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    environment = {**os.environ, TRACE: str(tmp_path / "trace")}
    # The fork server has this pipe as well: when it is closed, the fork server has ended too.
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert said.stdout.strip() == "('', (True, True, 0))", said.stderr
    assert not (tmp_path / "trace").exists()


def test_processes_of_macos_are_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metal, and with it the GPU of an Apple computer, cannot be used in a forked process."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _context(preload=[]).get_start_method() == "spawn"


def test_without_tasks_no_process_is_started():
    assert list(run_in_processes("no.such:module", (), [], num_processes=2)) == []


def test_a_task_is_requested_when_a_process_is_idle_and_again_after_none():
    asked = []

    def tasks():
        for number in (0, None, 1, None, None, 2):
            asked.append(number)
            yield None if number is None else (number, number)

    results = run_in_processes(f"{HERE}:squares", (0,), tasks(), num_processes=1, poll_seconds=0.01)
    assert next(results) == (0, 0)
    assert asked == [0]
    assert {tag for tag, _ in results} == {0, 1, 2}
    assert asked == [0, None, 1, None, None, 2]


def test_results_arrive_while_no_task_is_ready_for_an_idle_process():
    def tasks():
        yield "first", 3
        while not got:
            yield None

    got = []
    for tag, result in run_in_processes(f"{HERE}:squares", (1,), tasks(), num_processes=2, poll_seconds=0.01):
        got.append((tag, result))
    assert got == [("first", 10), ("first", 8)]


def test_only_the_end_of_a_task_brings_the_next_request_forward():
    requests = []

    def tasks():
        yield "first", 3
        while True:
            requests.append(len(got))
            if len(requests) == 2:
                return
            yield None

    got = []
    for _, result in run_in_processes(f"{HERE}:squares", (1,), tasks(), num_processes=2, poll_seconds=60):
        got.append(result)
    assert requests == [0, 2], "a request for each result would read a store each time"


def test_processes_have_one_thread_and_indices_from_0():
    seen = set(run_in_processes(f"{HERE}:identities", (), tagged(range(8)), num_processes=2))
    seen = {identity for _, identity in seen}
    assert {worker for worker, _, _ in seen} == {0, 1}
    assert len({pid for _, pid, _ in seen} | {os.getpid()}) == 3
    assert {num_threads for _, _, num_threads in seen} == {1}


def cores(*, process_index: int) -> TaskFunction:
    def perform(_: int) -> Iterator[tuple[int, frozenset[int]]]:
        time.sleep(0.1)  # so that every process gets a task
        yield process_index, frozenset(os.sched_getaffinity(0))

    return perform


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process choose its cores")
@pytest.mark.parametrize("num_more", [0, 1])
def test_processes_are_pinned_if_there_is_a_core_for_each(num_more: int) -> None:
    ours = os.sched_getaffinity(0)
    num_processes = len(ours) + num_more
    seen = dict(
        got
        for _, got in run_in_processes(
            f"{HERE}:cores", (), tagged(range(3 * num_processes)), num_processes=num_processes
        )
    )
    assert seen == (
        {worker: frozenset({core}) for worker, core in enumerate(sorted(ours))}
        if not num_more
        else dict.fromkeys(range(num_processes), ours)
    )


def test_an_error_of_the_package_reaches_the_caller_unchanged():
    with pytest.raises(DataSourceError, match="The file is gone"):
        list(run_in_processes(f"{HERE}:misfortunes", (), tagged(["refuse"]), num_processes=1))


def test_a_defect_reaches_the_caller_with_the_traceback_of_the_process():
    with pytest.raises(ZeroDivisionError) as caught:
        list(run_in_processes(f"{HERE}:misfortunes", (), tagged(["break"]), num_processes=1))
    assert "in perform" in "".join(caught.value.__notes__)


def without_room(*, process_index: int) -> TaskFunction:
    from safetensors import SafetensorError

    def perform(task: str) -> Iterator[None]:
        if task == "safetensors":
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes.")
        yield

    return perform


@pytest.mark.parametrize(
    ("task", "kind", "text"),
    [("safetensors", OSError, "No space left on device"), ("torch", MemoryError, "you tried to allocate 80 bytes")],
)
def test_an_error_of_the_system_reaches_the_caller_as_a_built_in_one(task, kind, text):
    with pytest.raises(kind, match=text) as caught:
        list(run_in_processes(f"{HERE}:without_room", (), tagged([task]), num_processes=1))
    assert type(caught.value) is kind


def test_a_process_without_memory_for_a_thread_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    here, there = multiprocessing.Pipe()
    _serve(there, f"{HERE}:squares", (0,), 0, 1)
    kind, error = here.recv()
    assert (kind, error.errno, error.strerror) == ("error", errno.EAGAIN, "no further thread can be started")


def test_what_a_process_has_opened_is_closed_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert len(list(run_in_processes(f"{HERE}:opened", (log,), tagged([1, 2]), num_processes=1))) == 2
    assert log.read_text() == "closed"


def test_a_killed_process_is_reported_and_the_others_are_ended():
    started = time.monotonic()
    with pytest.raises(WorkerDiedError, match="exit code -9") as caught:
        list(run_in_processes(f"{HERE}:misfortunes", (), tagged(["sleep", "die"]), num_processes=2))
    assert time.monotonic() - started < 30
    assert caught.value.was_killed


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells a process's parent there")
def test_processes_killed_together_are_reported_as_killed():
    """The fork server, which alone knows how the others ended, is killed as well."""
    script = textwrap.dedent(f"""
        from peerkd.errors import WorkerDiedError
        from peerkd.training.process_pool import run_in_processes
        try:
            for result in run_in_processes("{HERE}:announce", (), [(1, 1)], num_processes=1):
                print(result[1], flush=True)
        except WorkerDiedError as error:
            print(error.was_killed, flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        server = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        assert server != parent.pid
        for pid in (server, worker):
            os.kill(pid, signal.SIGKILL)
        assert parent.stdout.readline() == "True\n"


def test_processes_end_when_their_parent_is_killed():
    script = textwrap.dedent(f"""
        from peerkd.training.process_pool import run_in_processes
        for result in run_in_processes("{HERE}:announce", (), [(1, 1), (2, 2)], num_processes=2):
            print(result[1], flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < deadline, "workers outlived their parent"
        time.sleep(0.05)


def announce(*, process_index: int) -> TaskFunction:
    def perform(task: int) -> Iterator[int]:
        yield os.getpid()
        time.sleep(60)

    return perform
