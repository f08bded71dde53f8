"""Commands in processes that are forked from one that has imported torch, so that they start in milliseconds.

A command in such a process does all of its work itself, where ``python -m peerkd`` would start other processes. Tests
that kill many processes use it for most of them, because each new interpreter needs seconds to import torch.
"""

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from types import TracebackType
from typing import Self

PRELOADED = ("peerkd.training.fork_server", "peerkd.training.sweep", "peerkd.training.online.runs")


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
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        arguments = (list(words), dict(os.environ if environment is None else environment), preparation)
        self._process = context.Process(target=_call, args=arguments, daemon=True)
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
