"""The reader of text files that the user names: it opens them without blocking and reads them up to a size limit."""

import errno
import os
import stat
from pathlib import Path

from peerkd.excerpt import plain_path, start_of
from peerkd.suggestions import did_you_mean, near


def read_text(path: Path, *, field: str, max_bytes: int) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Args:
        path: A regular file. A pipe or a device is refused, because reading it may never end.
        field: The option or variable that names the file. Each message begins with it.
        max_bytes: The largest size of the file.

    Raises:
        ValueError: If the path is not a regular file, or the file is too large or not UTF-8.
    """
    refused = f"{field} must be a readable file, got {plain_path(path)}"
    try:
        # Without O_NONBLOCK, opening a pipe would block until somebody writes to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISDIR(mode):
                raise ValueError(f"{refused}: {os.strerror(errno.EISDIR)}.")
            if not stat.S_ISREG(mode):
                raise ValueError(f"{refused}: it is a pipe or a device.")
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise ValueError(f"{refused}{start_of(path)}: {error.strerror}{_similar(path)}.") from error
    if len(content) > max_bytes:
        raise ValueError(f"{field} must have at most {max_bytes:,} bytes, got {plain_path(path)}, which is larger.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{field} must be a UTF-8 text file, got {plain_path(path)}: line {line} is not valid UTF-8."
        ) from error


def _similar(path: Path) -> str:
    """Return a suggestion if a file is missing and its folder contains a file with a similar name; otherwise empty."""
    try:
        names = [] if path.exists() else [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        names = []
    return did_you_mean(near(path.name, names))
