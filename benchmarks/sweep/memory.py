"""The memory of some processes and their descendants while they run. Linux only."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PERIOD_SECONDS = 0.1


class Peak:
    """The largest memory that was measured."""

    num_bytes = 0


@contextmanager
def watching(process_ids: Callable[[], set[int]]) -> Iterator[Peak]:
    """Measure the memory repeatedly while the context is open.

    Args:
        process_ids: A function that returns the current processes, without their children.
    """
    peak, is_over = Peak(), threading.Event()

    def watch() -> None:
        while not is_over.wait(_PERIOD_SECONDS):
            peak.num_bytes = max(peak.num_bytes, used_bytes(process_ids()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


def used_bytes(roots: set[int]) -> int:
    """Return the memory of processes and their descendants.

    The private memory of all processes is summed. Mapped files, such as torch's libraries, count once, with the size
    in the process that maps the most. Pages that a process has inherited from its parent count as its own.
    """
    own, mapped = [0], [0]
    for process_id in roots | _descendants(roots):
        sizes = _sizes_bytes(process_id)
        own.append(sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0))
        mapped.append(sizes.get("RssFile", 0))
    return sum(own) + max(mapped)


def _descendants(process_ids: set[int]) -> set[int]:
    found: set[int] = set()
    for process_id in process_ids:
        children: set[int] = set()
        for listed in Path(f"/proc/{process_id}/task").glob("*/children"):
            children |= {int(child) for child in _read(listed).split()}
        found |= children | _descendants(children)
    return found


def _sizes_bytes(process_id: int) -> dict[str, int]:
    pairs = (line.split(":") for line in _read(Path(f"/proc/{process_id}/status")).splitlines() if "Rss" in line)
    return {name: 1024 * int(value.split()[0]) for name, value in pairs}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        # The process has ended, or there is no /proc.
        return ""
