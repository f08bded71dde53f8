"""The memory that this process can still allocate. A data set that needs more is refused before it is read."""

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerkd.errors import DataSourceError
from peerkd.wording import format_bytes

_MEMINFO: Final = Path("/proc/meminfo")
_PROCESS: Final = Path("/proc/self/statm")
_CONTROL_GROUP: Final = Path("/sys/fs/cgroup")
_KIBIBYTE: Final = 1024


def check_memory(num_bytes: int, *, what: str) -> None:
    """Check that this process can allocate ``num_bytes`` more.

    Args:
        num_bytes: Memory that is about to be allocated, at least 0.
        what: Subject of the message, such as ``data.path: pets.npz``.

    Raises:
        DataSourceError: If less memory is available. The message states both numbers.
    """
    available_bytes = available_memory_bytes()
    if num_bytes > available_bytes:
        raise DataSourceError(
            f"{what} needs {format_bytes(num_bytes)} of memory to be read, but only {format_bytes(available_bytes)} "
            "are available. Use fewer or smaller images, or more memory."
        )


def available_memory_bytes() -> int:
    """Return how much memory this process can still allocate.

    The result is the smallest of three amounts: the free memory of the machine, the unused rest of the container's
    memory limit, and the unused rest of the process's memory limit. An amount that cannot be read, for example on
    another operating system, is ignored.
    """
    return min((max(num_bytes, 0) for num_bytes in _limits()), default=2**63 - 1)


def _limits() -> Iterator[int]:
    with suppress(OSError, KeyError, ValueError):
        yield _fields(_MEMINFO)["MemAvailable:"] * _KIBIBYTE
    with suppress(OSError, KeyError, ValueError):
        limit_bytes = int((_CONTROL_GROUP / "memory.max").read_text())
        used_bytes = int((_CONTROL_GROUP / "memory.current").read_text())
        # The inactive file cache is reported as used, but the kernel frees it on demand.
        yield limit_bytes - used_bytes + _fields(_CONTROL_GROUP / "memory.stat")["inactive_file"]
    with suppress(OSError, ValueError):
        limit_bytes, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit_bytes != resource.RLIM_INFINITY:
            yield limit_bytes - int(_PROCESS.read_text().split()[0]) * resource.getpagesize()


def _fields(path: Path) -> dict[str, int]:
    """Return the number on each line of a file, keyed by the first word of the line."""
    words = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}
