"""Tasks spread over single-threaded processes, with results as they are produced.

Every process has one thread. With several threads, the order of addition, and so the result, would depend on their
number. The processes end when the process that started them is gone, so a killed run leaves nothing behind.
"""

import gc
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from peerkd.errors import PeerKDError, WorkerDiedError
from peerkd.system_errors import plain_error
from peerkd.training.cpu import keep_freed_memory, pin_to_core

_EXIT_UNKNOWN: Final = 255
"""The exit code that Python reports for a process whose fork server was killed too, so that the real code is lost."""

_MAX_POLL_SECONDS: Final = 10.0
_POLL_GROWTH: Final = 1.25
"""The factor by which the time between two requests grows while no task is ready."""

_FORK_SERVER: Final = "peerkd.training.fork_server"

TaskFunction = Callable[[Any], Iterator[Any]]
"""A function that does one task and yields its results one by one."""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A ``TaskFunction`` with resources, and a function that frees them after the last task."""

    perform: TaskFunction
    close: Callable[[], None]

    def __call__(self, task: Any) -> Iterator[Any]:
        """Do a task and yield its results."""
        return self.perform(task)


Tag = TypeVar("Tag")


def run_in_processes(
    start: str,
    arguments: tuple[Any, ...],
    tasks: Iterable[tuple[Tag, Any] | None],
    *,
    num_processes: int,
    preload: Sequence[str] = (),
    poll_seconds: float = 1.0,
) -> Generator[tuple[Tag, Any], None, None]:
    """Do every task once and yield each result with its task's tag, in the order in which the results are produced.

    Args:
        start: The name of a function, as ``module:function``, so that only the processes import torch. Each process
            calls the function once, with ``arguments`` and with ``process_index``, which counts from 0. The function
            returns a ``TaskFunction``, which the process calls for each task. An ``OpenTask`` is closed at the end.
        arguments: The arguments of ``start``, which are pickled.
        tasks: Pairs of a tag and a task. The tag is not sent to the process. The next pair is requested when a process
            is idle. A None in place of a pair means that no task is ready; the next pair is then requested after
            ``poll_seconds``, or as soon as a process has ended a task.
        num_processes: The number of processes. If it is 0, the calling process does one task after another.
        preload: Modules that every process needs. If processes are forked, the fork server imports these modules once,
            at the first call of this function. It does not import the modules of later calls.
        poll_seconds: The time from the first None to the next request. Each request may read a store, so the time grows
            with each further None: by at most a quarter of the time waited so far, up to 10 s.

    Raises:
        WorkerDiedError: If a process ends without an exception of its own, for example killed for its memory.
        Exception: The exception that a process raised. All processes are ended before it is raised here.
    """
    if num_processes == 0:
        yield from _in_this_process(start, arguments, tasks, poll_seconds=poll_seconds)
        return
    context = _context(preload=[start.partition(":")[0], *preload])
    upcoming = iter(tasks)
    processes: dict[connection.Connection, BaseProcess] = {}
    tags: dict[connection.Connection, Tag] = {}
    free: list[connection.Connection] = []
    is_over = False
    polls = _Polls(poll_seconds)
    try:
        while True:
            is_waiting = polls.seconds_left > 0
            while not (is_over or is_waiting) and (free or len(processes) < num_processes):
                try:
                    task = next(upcoming)
                except StopIteration:
                    is_over = True
                    break
                if task is None:
                    is_waiting = True
                    polls.wait()
                    break
                polls.restart()
                pipe = free.pop() if free else _start(context, processes, (start, arguments), num_processes)
                tags[pipe], work = task
                pipe.send(work)
            if is_over:
                for pipe in free:
                    pipe.send(None)
                    processes.pop(pipe).join()
                free.clear()
                if not processes:
                    return
            for ready in connection.wait(list(processes), timeout=polls.seconds_left if is_waiting else None):
                assert isinstance(ready, connection.Connection)
                kind, value = _receive(ready, processes[ready])
                if kind == "result":
                    yield tags[ready], value
                elif kind == "error":
                    raise value
                else:
                    del tags[ready]
                    free.append(ready)
                    polls.restart()
    finally:
        for process in processes.values():
            process.kill()
            process.join()


def _in_this_process(
    start: str, arguments: tuple[Any, ...], tasks: Iterable[tuple[Tag, Any] | None], *, poll_seconds: float
) -> Iterator[tuple[Tag, Any]]:
    """Do every task in the calling process, where a debugger, a profiler or a notebook can follow it."""
    import torch

    num_threads = torch.get_num_threads()
    # One thread, as in the processes of the pool, because the results must be equal.
    torch.set_num_threads(1)
    perform: TaskFunction | None = None
    polls = _Polls(poll_seconds)
    try:
        for task in tasks:
            if task is None:
                polls.wait()
                time.sleep(polls.seconds_left)
                continue
            polls.restart()
            perform = perform or _load(start)(*arguments, process_index=0)
            tag, work = task
            for result in perform(work):
                yield tag, result
    finally:
        torch.set_num_threads(num_threads)
        _close(perform)


class _Polls:
    """The times at which the next task is requested, while none is ready."""

    def __init__(self, first_seconds: float) -> None:
        self._first_seconds = first_seconds
        self.restart()

    @property
    def seconds_left(self) -> float:
        """The time until the next request; 0 if it may be made now."""
        return max(0.0, self._next_at - time.monotonic())

    def restart(self) -> None:
        """Allow a request now, because something has changed."""
        self._seconds, self._next_at = self._first_seconds, 0.0

    def wait(self) -> None:
        """Postpone the next request, for longer than the last time unless something has changed since."""
        self._next_at = time.monotonic() + self._seconds
        self._seconds = min(self._seconds * _POLL_GROWTH, max(self._first_seconds, _MAX_POLL_SECONDS))


def _close(perform: TaskFunction | None) -> None:
    if isinstance(perform, OpenTask):
        perform.close()


def _load(start: str) -> Callable[..., TaskFunction]:
    module, _, function = start.partition(":")
    loaded: Callable[..., TaskFunction] = getattr(import_module(module), function)
    return loaded


def _start(
    context: ForkServerContext | SpawnContext,
    processes: dict[connection.Connection, BaseProcess],
    start: tuple[str, tuple[Any, ...]],
    num_processes: int,
) -> connection.Connection:
    own_end, other_end = context.Pipe()
    process = context.Process(target=_serve, args=(other_end, *start, len(processes), num_processes), daemon=True)
    try:
        process.start()
    except (EOFError, OSError) as error:
        # The fork server may have been killed for its use of memory, or no memory may be left for another process.
        raise WorkerDiedError(
            f"A training process could not be started ({error or 'the fork server is gone'}).", was_killed=True
        ) from error
    processes[own_end] = process
    other_end.close()
    return own_end


def _context(*, preload: list[str]) -> ForkServerContext | SpawnContext:
    # On macOS, a forked process can use neither the GPU nor all of the system's libraries.
    if sys.platform == "darwin" or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # The fork server imports them once for all processes: torch takes seconds and hundreds of megabytes.
    context.set_forkserver_preload([_FORK_SERVER, *preload])
    return context


def _receive(pipe: connection.Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        process.join()
        raise WorkerDiedError(
            f"A training process ended with exit code {process.exitcode} before it finished its work.",
            was_killed=(process.exitcode or 0) < 0 or process.exitcode == _EXIT_UNKNOWN,
        ) from error
    return message


def _serve(
    pipe: connection.Connection, start: str, arguments: tuple[Any, ...], number: int, num_processes: int
) -> None:
    # Objects that were imported before the fork stay, so the garbage collector need not look at them.
    gc.freeze()
    gc.enable()
    perform: TaskFunction | None = None
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        import torch

        torch.set_num_threads(1)
        pin_to_core(number, num_processes=num_processes)
        keep_freed_memory()
        perform = _load(start)(*arguments, process_index=number)
        while (task := pipe.recv()) is not None:
            for result in perform(task):
                pipe.send(("result", result))
            pipe.send(("ready", None))
    except (PeerKDError, ValueError) as error:
        pipe.send(("error", error))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # The parent process has ended or is ending.
    except Exception as error:
        # An error of the operating system is sent as a built-in exception, because the receiving process may lack the
        # library that raised it.
        sent = plain_error(error) or error
        sent.add_note(f"In process {number}:\n{traceback.format_exc()}")
        pipe.send(("error", sent))
    finally:
        _close(perform)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
