"""Work spread over single-threaded processes, with results as they come.

One thread a process, whatever the number of processes: a sum over threads would make a result depend on it. Workers
end by themselves when the process that started them is gone, so that a killed run leaves nothing behind.
"""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

from peerkd.errors import PeerKDError, WorkerDiedError
from peerkd.training.memory import keep_freed_memory

Perform = Callable[[Any], Iterator[Any]]
"""Does one task and yields its results one by one."""


def run_in_workers(start: str, arguments: tuple[Any, ...], tasks: Iterable[Any], *, num_workers: int) -> Iterator[Any]:
    """Do every task once and yield the results as they are made, in no particular order.

    Args:
        start: ``module:function``, called once in each worker with ``arguments`` and ``worker``, its number from 0;
            returns what does a task there. A name, so that only the workers import torch.
        arguments: For ``start``; they are pickled.
        tasks: Handed out one at a time, first come first served.
        num_workers: Processes, at least 1.

    Raises:
        WorkerDiedError: If a worker ends without an exception of its own, for instance killed for its memory.
        Exception: What a worker raised; the others are ended first.
    """
    context = _context(preload=start.partition(":")[0])
    waiting = list(tasks)[::-1]
    workers: dict[connection.Connection, BaseProcess] = {}
    try:
        for number in range(min(num_workers, len(waiting))):
            ours, theirs = context.Pipe()
            workers[ours] = context.Process(target=_serve, args=(theirs, start, arguments, number), daemon=True)
            workers[ours].start()
            theirs.close()
            ours.send(waiting.pop())
        while workers:
            for ready in connection.wait(list(workers)):
                assert isinstance(ready, connection.Connection)
                kind, value = _receive(ready, workers[ready])
                if kind == "result":
                    yield value
                elif kind == "error":
                    raise value
                elif waiting:
                    ready.send(waiting.pop())
                else:
                    ready.send(None)
                    workers.pop(ready).join()
    finally:
        for process in workers.values():
            process.kill()
            process.join()


def _context(*, preload: str) -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once by the process that workers are forked from: torch takes seconds and hundreds of megabytes.
    context.set_forkserver_preload([preload])
    return context


def _receive(pipe: connection.Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        process.join()
        raise WorkerDiedError(f"A worker process ended with exit code {process.exitcode} before its work.") from error
    return message


def _serve(pipe: connection.Connection, start: str, arguments: tuple[Any, ...], number: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import torch

        torch.set_num_threads(1)
        keep_freed_memory()
        module, _, function = start.partition(":")
        perform: Perform = getattr(import_module(module), function)(*arguments, worker=number)
        while (task := pipe.recv()) is not None:
            for result in perform(task):
                pipe.send(("result", result))
            pipe.send(("ready", None))
    except (PeerKDError, ValueError) as error:
        pipe.send(("error", error))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # the parent is gone or going
    except Exception as error:
        error.add_note(f"In worker process {number}:\n{traceback.format_exc()}")
        pipe.send(("error", error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
