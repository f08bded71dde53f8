"""What a person sees of a pipeline's tasks: their progress, not the noise of the runner around them."""

import io
from collections import deque
from collections.abc import Sequence
from typing import TextIO

from peerkd.metrics.progress import LINE_PREFIX


class Relay(io.TextIOBase):
    """Takes all that is printed; passes on the lines meant for people and remembers the last of the others.

    In a terminal, a stage's next line takes the place of its last.
    """

    def __init__(self, out: TextIO, *, num_kept_lines: int) -> None:
        self._out = out
        self._kept: deque[str] = deque(maxlen=num_kept_lines)
        self._pending = ""
        self._stage: str | None = None

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines that were not meant for people."""
        return tuple(self._kept)

    def writable(self) -> bool:
        """Return True: this is a stream to write to."""
        return True

    def write(self, text: str) -> int:
        """Take a piece of text, which may hold any number of lines."""
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._take(line.strip())
        return len(text)

    def _take(self, line: str) -> None:
        if not line.startswith(LINE_PREFIX):
            if line:
                self._kept.append(line)
            return
        told = line.removeprefix(LINE_PREFIX).strip()
        stage = told.partition(":")[0]
        if self._out.isatty() and stage == self._stage:
            self._out.write("\x1b[A\x1b[2K")
        self._stage = stage
        self._out.write(told + "\n")
        self._out.flush()
