"""Whether the kernel has killed processes of this container because its memory had run out."""

from pathlib import Path
from typing import Final

_COUNTERS: Final = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
"""Files of control groups of version 2 and of version 1. Both have lines such as ``oom_kill 3``."""


def num_memory_kills(counters: tuple[Path, ...] = _COUNTERS) -> int:
    """Return how many processes were killed so far; 0 where nobody counts."""
    for path in counters:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isdigit():
                return int(number)
    return 0
