"""The process of an invocation, which another process of the same machine can end.

The id of a process does not identify it, because the system gives the id of an ended process to a new one. The time at
which a process started tells the two apart.
"""

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from peerkd.lifeline import read_stat

_STATE: Final = 0
_START_TICKS: Final = 19
"""The positions of the state and of the start time among the values of ``read_stat``."""

_ENDED: Final = ("Z", "X")
"""The states of a process that has ended."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(NamedTuple):
    """What identifies a process among all processes of all machines."""

    host: str
    """The name of the machine."""

    pid: int
    started: str
    """The time at which the process started, in the notation of its system. Two processes with one id differ in it."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the identity of the calling process."""
        pid = os.getpid()
        return cls(platform.node(), pid, _started(pid))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the identity whose ``_asdict()`` was written as JSON.

        Raises:
            KeyError: If a value is missing.
            ValueError: If the id is not a number.
        """
        return cls(str(values["host"]), int(values["pid"]), str(values["started"]))

    @property
    def is_alive(self) -> bool:
        """Whether the process is on this machine and has not ended."""
        return self.host == platform.node() and bool(self.started) and _started(self.pid) == self.started

    def terminate(self) -> bool:
        """Send SIGTERM to the process. Return False if it has ended or is not on this machine.

        Raises:
            PermissionError: If the process belongs to another user.
        """
        descriptor = _descriptor(self.pid)
        try:
            if not self.is_alive:
                return False
            if descriptor is None:
                os.kill(self.pid, signal.SIGTERM)
            else:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except ProcessLookupError:
            return False
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return True


def _descriptor(pid: int) -> int | None:
    """Return a descriptor of a process. Unlike the id, it never comes to mean another process.

    Return None if there is no such process, or if this system has no such descriptors.
    """
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _started(pid: int) -> str:
    """Return when a process started; empty if it has ended."""
    values = read_stat(pid)
    if values is not None:
        # The kernel counts from the start of the machine, which the id of this start tells from all others.
        return "" if values[_STATE] in _ENDED else f"{_boot_id()} {values[_START_TICKS]}"
    if Path("/proc/self/stat").exists():
        return ""
    return _started_by_ps(pid)


def _started_by_ps(pid: int) -> str:
    """Return when a process started on a system without ``/proc``; empty if it has ended."""
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], env=environment, capture_output=True, text=True, check=False
    ).stdout
    state, _, started = told.strip().partition(" ")
    return "" if state.startswith(_ENDED) else " ".join(started.split())


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
