"""The terminal output of a pipeline on this machine: progress lines of its tasks, without the messages of kfp."""

import io
from collections import deque
from collections.abc import Sequence
from typing import TextIO

from peerkd.metrics.progress import LINE_PREFIX


class Relay(io.TextIOBase):
    """A stream that passes progress lines on to another stream.

    It keeps the last few lines that are not progress lines.

    In a terminal, each progress line of a stage overwrites the previous one.
    """

    def __init__(self, out: TextIO, *, num_kept_lines: int) -> None:
        self._out = out
        self._kept: deque[str] = deque(maxlen=num_kept_lines)
        self._pending = ""
        self._stage: str | None = None

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
        text = line.removeprefix(LINE_PREFIX).strip()
        stage = text.partition(":")[0]
        if self._out.isatty() and stage == self._stage:
            self._out.write("\x1b[A\x1b[2K")
        self._stage = stage
        self._out.write(text + "\n")
        self._out.flush()
