"""Work spread over single-threaded processes, with results as they come.

One thread a process, whatever the number of processes: a sum over threads would make a result depend on it. Workers
end by themselves when the process that started them is gone, so that a killed run leaves nothing behind.
"""

import gc
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from peerkd.errors import PeerKDError, WorkerDiedError
from peerkd.system_errors import plain_error
from peerkd.training.memory import keep_freed_memory
from peerkd.training.placement import pin_to_core

_EXIT_UNKNOWN: Final = 255
"""Of a process whose parent, the fork server, is gone too and has told nobody: all were killed together."""

_FORK_SERVER: Final = "peerkd.training.fork_server"

Perform = Callable[[Any], Iterator[Any]]
"""Does one task and yields its results one by one."""

Tag = TypeVar("Tag")


def run_in_workers(
    start: str,
    arguments: tuple[Any, ...],
    tasks: Iterable[tuple[Tag, Any] | None],
    *,
    num_workers: int,
    preload: Sequence[str] = (),
    poll_seconds: float = 1.0,
) -> Iterator[tuple[Tag, Any]]:
    """Do every task once and yield the results as they are made, in no particular order, each with its task's tag.

    Args:
        start: ``module:function``, called once in each worker with ``arguments`` and ``worker``, its number from 0;
            returns what does a task there. A name, so that only the workers import torch.
        arguments: For ``start``; they are pickled.
        tasks: Each with a tag, which stays here. Asked for one at a time, when a worker is free; None stands for none
            at the moment, and the next is asked for a little later.
        num_workers: Processes. 0: no process but the calling one, which does one task after another.
        preload: Modules that all of them will import. Where processes are forked, those of the first call are imported
            once for all workers of all calls.
        poll_seconds: How much later.

    Raises:
        WorkerDiedError: If a worker ends without an exception of its own, for instance killed for its memory.
        Exception: What a worker raised; the others are ended first.
    """
    if num_workers == 0:
        yield from _in_this_process(start, arguments, tasks, poll_seconds=poll_seconds)
        return
    context = _context(preload=[start.partition(":")[0], *preload])
    coming = iter(tasks)
    workers: dict[connection.Connection, BaseProcess] = {}
    tags: dict[connection.Connection, Tag] = {}
    free: list[connection.Connection] = []
    is_over = False
    try:
        while True:
            is_waiting = False
            while not (is_over or is_waiting) and (free or len(workers) < num_workers):
                try:
                    task = next(coming)
                except StopIteration:
                    is_over = True
                    break
                if task is None:
                    is_waiting = True
                    break
                pipe = free.pop() if free else _start(context, workers, (start, arguments), num_workers)
                tags[pipe], work = task
                pipe.send(work)
            if is_over:
                for pipe in free:
                    pipe.send(None)
                    workers.pop(pipe).join()
                free.clear()
                if not workers:
                    return
            for ready in connection.wait(list(workers), timeout=poll_seconds if is_waiting else None):
                assert isinstance(ready, connection.Connection)
                kind, value = _receive(ready, workers[ready])
                if kind == "result":
                    yield tags[ready], value
                elif kind == "error":
                    raise value
                else:
                    del tags[ready]
                    free.append(ready)
    finally:
        for process in workers.values():
            process.kill()
            process.join()


def _in_this_process(
    start: str, arguments: tuple[Any, ...], tasks: Iterable[tuple[Tag, Any] | None], *, poll_seconds: float
) -> Iterator[tuple[Tag, Any]]:
    """Do every task where a debugger, a profiler or a notebook sees it."""
    import torch

    num_threads = torch.get_num_threads()
    # As in the worker processes, whose results these must equal.
    torch.set_num_threads(1)
    try:
        perform: Perform | None = None
        for task in tasks:
            if task is None:
                time.sleep(poll_seconds)
                continue
            perform = perform or _load(start)(*arguments, worker=0)
            tag, work = task
            for result in perform(work):
                yield tag, result
    finally:
        torch.set_num_threads(num_threads)


def _load(start: str) -> Callable[..., Perform]:
    module, _, function = start.partition(":")
    loaded: Callable[..., Perform] = getattr(import_module(module), function)
    return loaded


def _start(
    context: ForkServerContext | SpawnContext,
    workers: dict[connection.Connection, BaseProcess],
    start: tuple[str, tuple[Any, ...]],
    num_workers: int,
) -> connection.Connection:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, *start, len(workers), num_workers), daemon=True)
    try:
        process.start()
    except (EOFError, OSError) as error:
        # What processes are forked from may have been killed for its memory, or there is no memory for another.
        raise WorkerDiedError(
            f"A worker process could not be started ({error or 'the fork server is gone'}).", was_killed=True
        ) from error
    workers[ours] = process
    theirs.close()
    return ours


def _context(*, preload: list[str]) -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once by the process that workers are forked from: torch takes seconds and hundreds of megabytes.
    context.set_forkserver_preload([_FORK_SERVER, *preload])
    return context


def _receive(pipe: connection.Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        process.join()
        raise WorkerDiedError(
            f"A worker process ended with exit code {process.exitcode} before its work.",
            was_killed=(process.exitcode or 0) < 0 or process.exitcode == _EXIT_UNKNOWN,
        ) from error
    return message


def _serve(pipe: connection.Connection, start: str, arguments: tuple[Any, ...], number: int, num_workers: int) -> None:
    # What was imported before the fork stays, so that no collection needs to look at it.
    gc.freeze()
    gc.enable()
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        import torch

        torch.set_num_threads(1)
        pin_to_core(number, num_workers=num_workers)
        keep_freed_memory()
        perform = _load(start)(*arguments, worker=number)
        while (task := pipe.recv()) is not None:
            for result in perform(task):
                pipe.send(("result", result))
            pipe.send(("ready", None))
    except (PeerKDError, ValueError) as error:
        pipe.send(("error", error))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # the parent is gone or going
    except Exception as error:
        # An error of the system is sent as a built-in one: the other process may lack the library that raised it.
        told = plain_error(error) or error
        told.add_note(f"In worker process {number}:\n{traceback.format_exc()}")
        pipe.send(("error", told))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
