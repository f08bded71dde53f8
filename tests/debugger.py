"""A debugger that records the stops at a function, and a context in which no process can be started."""

import bdb
import importlib
import multiprocessing.process
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple, Self

import pytest


@contextmanager
def no_processes() -> Iterator[None]:
    """Refuse to start another process, except those in which Python looks up the processor and the libraries."""
    start = subprocess.Popen.__init__

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("another process was started")

    def start_lookup(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
        assert command in (["uname", "-p"], ["/sbin/ldconfig", "-p"]), command
        start(self, command, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", start_lookup)
        patch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
        patch.setattr(os, "fork", refuse)
        yield


class Stop(NamedTuple):
    process: int
    is_main_thread: bool

    @classmethod
    def here(cls) -> Self:
        return cls(os.getpid(), threading.current_thread() is threading.main_thread())

    @property
    def is_here(self) -> bool:
        """Whether the stop was in the main thread of this process, where a person could type commands."""
        return self.process == os.getpid() and self.is_main_thread


class Debugger(bdb.Bdb):
    """A debugger that stops like pdb, which adds a prompt to the same base class."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[Stop] = []

    @classmethod
    def at(cls, module: str, function: str) -> Self:
        """Return a debugger that stops at the beginning of a function."""
        code = getattr(importlib.import_module(module), function).__code__
        first_line = min(line for _, _, line in code.co_lines() if line and line > code.co_firstlineno)
        debugger = cls()
        assert debugger.set_break(code.co_filename, first_line) is None
        return debugger

    def user_line(self, frame: FrameType) -> None:
        if self.break_here(frame):
            self.stops.append(Stop.here())
        self.set_continue()
