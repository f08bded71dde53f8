"""The edge of the command line, where it meets a person: every error becomes one sentence and an exit code."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import typer

from peerkd.errors import DataSourceError, PeerKDError
from peerkd.excerpt import plain, sentence
from peerkd.system_errors import translate

EXIT_FAILURE: Final = 1
EXIT_USER_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141
"""As of a process that the signal of a closed pipe has ended."""

_UsageError: Final[type[Any]] = typer.BadParameter.__mro__[1]
"""A command line that does not fit its command. Typer raises it and does not export it."""


@contextmanager
def terminal_edge() -> Iterator[None]:
    """Run a command: what a user can fix ends it with 2, what failed outside with 1, and Ctrl-C with 130.

    Any other exception is a defect of this program and passes with its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets its escape.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        except SystemExit as leaving:
            _flush()
            # Typer has made this code of a KeyboardInterrupt, and said nothing.
            if leaving.code == EXIT_INTERRUPTED:
                raise KeyboardInterrupt from leaving
            raise
    except _UsageError as error:
        if error.format_message().startswith("Usage:"):
            # A group without a command: the message is its help.
            error.show()
            sys.exit(EXIT_USER_ERROR)
        help_command = f"; see '{error.ctx.command_path} --help'" if error.ctx else ""
        _leave(sentence(error.format_message().rstrip(". ")) + help_command + ".", EXIT_USER_ERROR)
    except (ValueError, DataSourceError) as error:
        _leave(sentence(error), EXIT_USER_ERROR)
    except PeerKDError as error:
        # The last lines of a process that ended may be in it.
        _leave(str(error), EXIT_FAILURE)
    except BrokenPipeError:
        _give_up_stdout()
        sys.exit(EXIT_BROKEN_PIPE)
    except KeyboardInterrupt:
        _leave("interrupted; run the same command again to go on.", EXIT_INTERRUPTED)
    except Exception as error:
        refusal = translate(error)
        if refusal is None:
            raise
        # Where the error was met in writing to it.
        _give_up_stdout()
        _leave(str(refusal), EXIT_USER_ERROR if isinstance(refusal, ValueError) else EXIT_FAILURE)


def check_arguments(arguments: Sequence[str]) -> None:
    """Do nothing for arguments that are text.

    Raises:
        ValueError: If one has bytes that are not characters in the encoding of this terminal.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            encoding = sys.getfilesystemencoding()
            raise ValueError(
                f"Each argument must be text in {encoding}, as this environment says, got {plain(argument)}."
            ) from error


def _leave(message: str, exit_code: int) -> None:
    # Where nobody listens, the exit code alone tells.
    if sys.stderr is not None:
        sys.stderr.write(f"peerkd: {message}\n")
    sys.exit(exit_code)


def _flush() -> None:
    """Write what is buffered now: at the end of the interpreter an error would be a traceback."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _give_up_stdout() -> None:
    """Let the interpreter find nothing at its end that it cannot write."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
