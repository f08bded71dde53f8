"""Processes that are forked from one that has imported torch, so that they start in milliseconds.

A command in such a process does all of its work itself, where ``python -m peerkd`` would start other processes. Tests
that start many processes use it for most of them, because each new interpreter needs seconds to import torch.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.s3_server import free_port

PRELOADED = ("peerkd.training.fork_server", "peerkd.training.sweep", "peerkd.training.online.runs")


def fork_context() -> ForkServerContext:
    """Return the context whose processes are forked from the process that has imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def run_as_group(module: str, arguments: Sequence[Sequence[str]], *, folder: Path) -> list[list[str]]:
    """Run a module in a group of processes, as torchrun would, and return the lines that each process printed.

    Args:
        module: The name of the module.
        arguments: The arguments of the module in each process.
        folder: An existing folder, for the output of the processes.
    """
    context, port = fork_context(), free_port()
    outputs = [folder / f"output-{rank}" for rank in range(len(arguments))]
    processes = []
    for rank, words in enumerate(arguments):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(len(arguments)),
            "LOCAL_WORLD_SIZE": str(len(arguments)),
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(port),
        }
        process = context.Process(target=_run_module, args=(module, list(words), environment, outputs[rank]))
        process.start()
        processes.append(process)
    for process in processes:
        process.join(timeout=240)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * len(processes)
    return [output.read_text(encoding="utf-8").splitlines() for output in outputs]


def _run_module(module: str, words: list[str], environment: Mapping[str, str], output: Path) -> None:
    os.environ.update(environment)
    sys.argv = [module, *words]
    with output.open("w", encoding="utf-8") as sys.stdout:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


class ForkedCommand:
    """A command of peerkd in a forked process, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(
        self, words: Sequence[str], *, environment: Mapping[str, str] | None = None, preparation: str | None = None
    ) -> None:
        """Start the command.

        Args:
            words: The arguments of ``peerkd``.
            environment: The variables of the process. None means those of this process.
            preparation: A module that the process imports before it calls the command.
        """
        arguments = (list(words), dict(os.environ if environment is None else environment), preparation)
        self._process = fork_context().Process(target=_call, args=arguments, daemon=True)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, which is the negative number of the signal that killed the process.

        Raises:
            TimeoutError: If the process does not end in time.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"The process must end within {timeout} seconds, and it still runs.")
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.wait()


def _call(words: list[str], environment: dict[str, str], preparation: str | None) -> None:
    # The fork server has disabled the garbage collector, and remembers another environment.
    gc.freeze()
    gc.enable()
    os.environ.clear()
    os.environ.update(environment)
    from peerkd.cli.main import main
    from peerkd.launch.worker import this_worker
    from peerkd.stages import command

    if preparation:
        import_module(preparation)
    command.this_worker = lambda: replace(this_worker(), is_in_process=True)  # type: ignore[attr-defined]
    sys.argv = ["peerkd", *words]
    main()
