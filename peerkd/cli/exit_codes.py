"""The errors of the command line: each becomes one sentence and an exit code."""

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import typer

from peerkd.errors import DataSourceError, PeerKDError
from peerkd.excerpt import plain, sentence
from peerkd.system_errors import translate

EXIT_FAILURE: Final = 1
EXIT_USER_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141
"""The exit code of a process that was ended by SIGPIPE."""

EXIT_TERMINATED: Final = 143
"""The exit code of a process that was ended by SIGTERM."""

_UsageError: Final[type[Any]] = typer.BadParameter.__mro__[1]
"""The error of a wrong command line, which Typer raises and does not export."""


_EXTRAS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("kfp", "kfp_kubernetes"), "pipeline"),
    "jinja2": "report",
    **dict.fromkeys(("PIL", "sklearn"), "data"),
    **dict.fromkeys(("torch", "torchvision", "safetensors"), "train"),
    **dict.fromkeys(("kubeflow", "kubernetes", "urllib3"), "cluster"),
    "minio": "s3",
    "prometheus_client": "metrics",
}
"""The extra of peerkd that installs a third-party module, by the name of the module."""

_CONFIG_FILE: Final = re.compile(r"['( ]([^'( ]+\.(?:ya?ml|json))['), ]")
"""The pattern that finds the name of a config file in Typer's error message about an unknown command or argument."""

_LOCAL_EXTRAS: Final = ("pipeline", "report", "data", "train")
"""The extras that ``peerkd[local]`` contains."""


@contextmanager
def exiting_on_errors() -> Iterator[None]:
    """Run a command, and exit with 2 for an error that the user can fix and 1 for other failures.

    The exit code is 130 for Ctrl-C, and 143 for SIGTERM in a ``with`` block of ``ending_on_sigterm``.

    Any other exception is a defect of this program. It is not caught, so that its traceback is printed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show is printed as its escape.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        except SystemExit as leaving:
            _flush()
            # Typer turns a KeyboardInterrupt into this code, and prints nothing.
            if leaving.code == EXIT_INTERRUPTED:
                raise KeyboardInterrupt from leaving
            if leaving.code == EXIT_TERMINATED:
                _exit("stopped by SIGTERM; run the same command again to continue.", EXIT_TERMINATED)
            raise
    except _UsageError as error:
        if error.format_message().startswith("Usage:"):
            # The command line names a group without a command. The message is the help of the group.
            error.show()
            sys.exit(EXIT_USER_ERROR)
        command = error.ctx.command_path if error.ctx else ""
        help_command = f"; see '{command} --help'" if command else ""
        file = _CONFIG_FILE.search(error.format_message())
        if file and command.startswith("peerkd run"):
            pipeline = command.removeprefix("peerkd run").strip() or "jointkd"
            help_command = f"; give a file with --config, as in peerkd run {pipeline} --config {file[1]}"
        _exit(sentence(error.format_message().rstrip(". ")) + help_command + ".", EXIT_USER_ERROR)
    except (ValueError, DataSourceError) as error:
        # The error of a config, whose module is slow to import, has one line for each broken rule.
        _exit(str(error) if hasattr(error, "broken") else sentence(error), EXIT_USER_ERROR)
    except PeerKDError as error:
        # The message may contain the last lines of a process, so it is not cut to one line.
        _exit(str(error), EXIT_FAILURE)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        _exit(_missing(module), EXIT_USER_ERROR)
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(EXIT_BROKEN_PIPE)
    except KeyboardInterrupt:
        _exit("interrupted; run the same command again to continue.", EXIT_INTERRUPTED)
    except Exception as error:
        refusal = translate(error)
        if refusal is None:
            raise
        # Writing to stdout may be what failed.
        _discard_stdout()
        _exit(str(refusal), EXIT_USER_ERROR if isinstance(refusal, ValueError) else EXIT_FAILURE)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """End the ``with`` block on SIGTERM as on Ctrl-C, then raise ``SystemExit`` with the exit code 143.

    A second SIGTERM kills the process. Only the main thread receives signals, so in any other thread this context
    manager does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_terminated = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_terminated
        is_terminated = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # A process waits for its child process unless this error ends the wait.
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        if is_terminated:
            raise SystemExit(EXIT_TERMINATED) from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def check_arguments(arguments: Sequence[str]) -> None:
    """Check that arguments are text.

    Raises:
        ValueError: If an argument contains bytes that are invalid in the encoding of this environment.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            encoding = sys.getfilesystemencoding()
            raise ValueError(
                f"Each argument must be text in {encoding}, the encoding of this environment, got {plain(argument)}."
            ) from error


def _missing(module: str) -> str:
    extra = _EXTRAS[module]
    local = ", or peerkd[local] for everything that a run on this machine needs" if extra in _LOCAL_EXTRAS else ""
    return f"This command needs the package {module}, which is not installed here; install peerkd[{extra}]{local}."


def _exit(message: str, exit_code: int) -> None:
    # If no standard error stream exists, only the exit code shows the error.
    if sys.stderr is not None:
        sys.stderr.write(f"peerkd: {message}\n")
    sys.exit(exit_code)


def _flush() -> None:
    """Write the buffered output now, because an error at the interpreter's exit would be shown as a traceback."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_stdout() -> None:
    """Redirect stdout to the null device, so that the interpreter can write its buffer at exit."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
