"""The check of one input in a separate process: it must be accepted, or refused in a sentence, within limits."""

import os
import resource
import select
import signal
import traceback
from collections.abc import Callable
from typing import Final

from peerkd.errors import ArtifactCorruptError, DataSourceError

_LIMIT_SECONDS: Final = 10.0
_LIMIT_BYTES: Final = 2 * 1024**3
"""Memory that an input of some kilobytes may use, in addition to that of the harness."""

_LONGEST_SENTENCE: Final = 1500

REFUSALS: Final = (ValueError, DataSourceError, ArtifactCorruptError)
"""Exceptions by which an input is refused. The command line turns each into one sentence."""


def classify(read: Callable[[], object], *, refusals: tuple[type[Exception], ...] = REFUSALS) -> str | None:
    """Return what is wrong with how an input was read, or None.

    Args:
        read: Passes the input to the program. It runs in a child process, which may hang, grow or crash.
        refusals: Exceptions that the user sees as a sentence.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        os._exit(_in_child(read, refusals, sending))
    os.close(sending)
    try:
        if not select.select([receiving], [], [], _LIMIT_SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            return f"no end within {_LIMIT_SECONDS:.0f} s"
        with os.fdopen(os.dup(receiving), encoding="utf-8") as stream:
            complaint = stream.read()
    finally:
        os.close(receiving)
        _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status):
        return f"the process ended with {os.waitstatus_to_exitcode(status)}: {complaint}"
    return complaint or None


def _in_child(read: Callable[[], object], refusals: tuple[type[Exception], ...], sending: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        now_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + _LIMIT_BYTES, resource.RLIM_INFINITY))
    complaint = ""
    try:
        read()
    except refusals as error:
        complaint = _not_a_sentence(str(error))
    except BaseException:
        complaint = traceback.format_exc(limit=-4)
    os.write(sending, complaint.encode("utf-8", "backslashreplace"))
    return 0


def _not_a_sentence(text: str) -> str:
    if not text.endswith("."):
        return f"not a sentence: {text}"
    if any(not character.isprintable() for character in text.replace("\n", "")):
        return f"control characters in {text!r}"
    return f"{len(text)} characters: {text[:200]}" if len(text) > _LONGEST_SENTENCE else ""
