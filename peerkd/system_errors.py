"""Messages for errors of the operating system, which state what failed, where, and what to do.

Libraries raise such errors as their own types: safetensors and torch, for instance, give the error number only in a
text. ``plain_error`` finds the number, and ``translate`` returns a ``ValueError`` if a user must act, or else a
``MachineError``.
"""

import errno
import math
import os
import re
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from peerkd.errors import MachineError
from peerkd.excerpt import plain_path, sentence
from peerkd.wording import format_bytes

_NUMBER_IN_TEXT: Final = re.compile(r"\(os error (\d+)\)|\bcode: (\d+)\b|\[Errno (\d+)\]", re.IGNORECASE)
_CUT_SHORT: Final = re.compile(r"^\d+ requested and \d+ written$")
_PATH_IN_TEXT: Final = re.compile(r"""at path "([^"]+)"|: '([^']+)'$""")
_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|not enough memory|can't allocate memory|cannot allocate memory|segment from shared object$", re.I
)
_NO_TEMPORARY_FOLDER: Final = "No usable temporary directory found"
_OUT_OF_THREADS: Final = "can't start new thread"
_ADVICE: Final = "then repeat the command, and it continues where it stopped"
_FULL_BYTES: Final = 2**20
"""A disk with less free space than this is considered full."""

_CONNECTION_ERRORS: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED})
"""The errors of connections, which are left to the code that opened the connection."""

_PASSING: Final = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV, errno.EHOSTDOWN}
)
"""The failures of a disk or a file server. Another attempt, perhaps on another machine, may succeed."""


def plain_error(error: BaseException) -> OSError | MemoryError | None:
    """Return an error of the system as Python itself would raise it, or None for any other error.

    The returned error can be sent to a process that does not have the library that raised the original.
    """
    text = str(error)
    if isinstance(error, OSError):
        if error.errno is None:
            # numpy reports the number of items that it wrote; shutil lists the errors of several files.
            return _cut_short() if _CUT_SHORT.search(text) else _parse(text)
        return None if error.errno in _CONNECTION_ERRORS else error
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError) and _OUT_OF_MEMORY.search(text)
    ):
        return MemoryError(text)
    if isinstance(error, RuntimeError) and _OUT_OF_THREADS in text:
        return OSError(errno.EAGAIN, "no further thread can be started")
    if type(error).__name__ == "SafetensorError":
        return _parse(text)
    return None


def translate(error: BaseException) -> ValueError | MachineError | None:
    """Return the error to raise in place of an error of the system, or None if the error is of another kind.

    Returns:
        A ``ValueError`` if a user must act before another attempt can succeed, and otherwise a ``MachineError``.
    """
    match plain_error(error):
        case MemoryError() as memory:
            # The first sentence of torch's message has the numbers; the rest is about its settings.
            detail = re.split(r"(?<=[a-z)B])\.\s", str(memory))[0].rstrip(".")
            return _out_of_memory(detail)
        case OSError() as failed:
            return _translate_os_error(failed)
    return None


def translate_output(lines: str) -> ValueError | MachineError | None:
    """Return the error to raise for the last error of the system in the output of a process; None if there is none."""
    error = last_printed_error(lines)
    return translate(error) if error else None


def last_printed_error(lines: str) -> OSError | None:
    """Return the last error of the system in the output of a process; None if there is none."""
    for line in reversed(lines.splitlines()):
        found = _parse(line)
        if found:
            return found
        for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in line:
                return OSError(number, os.strerror(number))
    return None


@contextmanager
def add_path_to_errors(folder: Path) -> Iterator[None]:
    """Add a path to each error of the operating system that is raised in a ``with`` block and names no file.

    The path is ``folder``. If the error is that a disk is full, the path is the folder that is on the full disk:
    ``folder`` or the folder of temporary files.
    """
    try:
        yield
    except Exception as error:
        found = plain_error(error)
        if not isinstance(found, OSError) or found.filename is not None:
            raise
        full = [each for each in (folder, *_temporary_folder()) if _free_bytes(each) < _FULL_BYTES]
        if full and _CUT_SHORT.search(str(error)):
            found = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        place = full[0] if full and found.errno == errno.ENOSPC else folder
        raise OSError(found.errno, found.strerror, str(place)) from error


def check_temporary_folder() -> None:
    """Check that temporary files can be written in the folder that ``TMPDIR`` names.

    Raises:
        ValueError: If they cannot be written. A process that uses the folder would fail later.
    """
    wanted = os.environ.get("TMPDIR")
    if not wanted:
        return
    try:
        with tempfile.TemporaryFile(dir=wanted) as file:
            file.write(b"\0")
    except OSError as error:
        raise ValueError(
            f"TMPDIR must name a writable folder for temporary files, got {plain_path(wanted)}: "
            f"{error.strerror}. Set it to another folder, or unset it."
        ) from error


def _translate_os_error(error: OSError) -> ValueError | MachineError:
    number = error.errno or 0
    path = None if error.filename is None else Path(os.fsdecode(error.filename))
    if _NO_TEMPORARY_FOLDER in str(error.strerror):
        return ValueError(f"{error.strerror}: set TMPDIR to a writable folder.")
    describe = _DESCRIPTIONS.get(number)
    if describe:
        what, advice = describe(path)
        return ValueError(f"{what}: {advice}; {_ADVICE}.")
    if number in _PASSING:
        return MachineError(f"{_with_path('The disk or file server', path)} failed ({error.strerror}).", may_pass=True)
    if number == errno.EAGAIN:
        return MachineError(
            f"The machine cannot start more processes ({error.strerror}): use fewer (compute.num_workers), or raise "
            f"ulimit -u and ulimit -v; {_ADVICE}.",
            may_pass=True,
        )
    if number == errno.ENOMEM:
        return _out_of_memory(str(error.strerror))
    shown = "" if path is None else f" {plain_path(path)}"
    return MachineError(f"The operating system refused{shown}: {error.strerror}.")


def _out_of_memory(detail: str) -> MachineError:
    return MachineError(
        sentence(
            f"Memory ran out{f' ({detail})' * bool(detail)}: use fewer processes (compute.num_workers), smaller "
            f"batches, or more memory; {_ADVICE}."
        ),
        may_pass=True,
    )


def _with_path(subject: str, path: Path | None) -> str:
    return subject if path is None else f"{subject} of {plain_path(path)}"


def _full(path: Path | None) -> tuple[str, str]:
    disk = _with_path("The disk", path)
    with suppress(OSError):
        if path:
            status = os.statvfs(_nearest(path))
            if status.f_files and not status.f_favail:
                return f"{disk} has no room for more files (all {status.f_files:,} inodes are used)", "delete some"
            disk += f" ({format_bytes(status.f_bavail * status.f_frsize)} free)"
    return f"{disk} is full: no space is left", "free some space"


def _too_large(path: Path | None) -> tuple[str, str]:
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    allowed = "the file system allows" if limit == resource.RLIM_INFINITY else f"ulimit -f allows ({limit:,} bytes)"
    what = "A file" if path is None else f"A file at {plain_path(path)}"
    return f"{what} became larger than {allowed}", "raise the limit"


def _too_many(path: Path | None) -> tuple[str, str]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"This process has as many open files as ulimit -n allows ({limit:,})", "raise the limit"


_DESCRIPTIONS: Final[dict[int, Callable[[Path | None], tuple[str, str]]]] = {
    errno.ENOSPC: _full,
    errno.EDQUOT: lambda path: (
        f"{_with_path('The disk quota', path)} is used up",
        "free some space or raise the quota",
    ),
    errno.EFBIG: _too_large,
    errno.EROFS: lambda path: (
        f"{_with_path('The file system', path)} is read-only",
        "make it writable, or choose another folder",
    ),
    errno.EACCES: lambda path: (
        f"{_with_path('The permissions', path)} forbid this to user {os.getuid()} (Permission denied)",
        "change them, or choose another folder",
    ),
    errno.EPERM: lambda path: (
        f"{_with_path('The permissions', path)} forbid this to user {os.getuid()} (Operation not permitted)",
        "change them, or choose another folder",
    ),
    errno.EMFILE: _too_many,
}
"""The errors after which a user must act, each with a function that returns what failed and what to do."""


def _cut_short() -> OSError:
    """Return the probable cause of an incomplete write: the limit on file sizes, if one is set, or a full disk."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    number = errno.ENOSPC if limit == resource.RLIM_INFINITY else errno.EFBIG
    return OSError(number, os.strerror(number))


def _parse(text: str) -> OSError | None:
    found = _NUMBER_IN_TEXT.search(text)
    if not found:
        return None
    number = int(next(group for group in found.groups() if group))
    path = _PATH_IN_TEXT.search(text.strip())
    return OSError(number, os.strerror(number), (path[1] or path[2]) if path else None)


def _nearest(path: Path) -> Path:
    """Return the nearest parent folder of a path that exists."""
    absolute = path.absolute()
    return next(each for each in (absolute, *absolute.parents) if os.path.isdir(each))


def _temporary_folder() -> list[Path]:
    try:
        return [Path(tempfile.gettempdir())]
    except OSError:
        return []


def _free_bytes(folder: Path) -> float:
    try:
        status = os.statvfs(_nearest(folder))
    except OSError:
        return math.inf
    return status.f_bavail * status.f_frsize
