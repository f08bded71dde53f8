"""The output of a pipeline's tasks on this machine: progress lines are passed on, and the messages of kfp are not."""

import io
from collections import deque
from collections.abc import Callable, Sequence

from peerkd.metrics.progress import LINE_PREFIX


class Relay(io.TextIOBase):
    """A stream that gives each progress line to a function, and keeps the last few of all other lines."""

    def __init__(self, take: Callable[[str, str], None], *, num_kept_lines: int) -> None:
        self._take_line = take
        self._kept: deque[str] = deque(maxlen=num_kept_lines)
        self._pending = ""

    @property
    def last_lines(self) -> Sequence[str]:
        """The last output lines that are not progress lines."""
        return tuple(self._kept)

    def writable(self) -> bool:
        """Return True, because this stream can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write a text, which may contain any number of lines."""
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._take(line.strip())
        return len(text)

    def _take(self, line: str) -> None:
        if not line.startswith(LINE_PREFIX):
            if line:
                self._kept.append(line)
            return
        stage, _, text = line.removeprefix(LINE_PREFIX).strip().partition(": ")
        self._take_line(stage, text)
