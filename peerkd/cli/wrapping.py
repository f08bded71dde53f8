"""Output of results on stdout, in lines that are wrapped between words at the width of the terminal."""

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Final

import typer

_MORE_INDENT: Final = 4
"""The number of columns by which the continuation of a wrapped line is indented further than its beginning."""


def say(text: str) -> None:
    """Print a text on stdout. In a terminal, lines that are wider than the terminal are wrapped."""
    width = terminal_width()
    typer.echo(text if width is None else "\n".join(wrapped(text, width)))


def terminal_width() -> int | None:
    """Return the number of columns of the terminal to which stdout leads, or None if stdout is no terminal.

    The lines of a pipe or a file can have any length.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text. A line that is wider than ``width`` is wrapped between words.

    A word that is wider than ``width``, such as a path, stays whole, so that it can be copied.
    """
    for line in text.splitlines():
        if len(line) <= width:
            yield line
            continue
        indent = len(line) - len(line.lstrip()) + _MORE_INDENT
        yield from textwrap.wrap(
            line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
