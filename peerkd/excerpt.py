"""Functions that format values for messages: on one line, in printable characters, and short."""

import json
import re
from pathlib import Path
from typing import Final

MAX_SHOWN_CHARACTERS: Final = 80
MAX_PATH_CHARACTERS: Final = 200
"""The maximum length of a path, higher than ``MAX_SHOWN_CHARACTERS``: a path without its end identifies nothing."""

_MAX_SENTENCE_CHARACTERS: Final = 800
_MAX_WORD_CHARACTERS: Final = 220


def excerpt(value: object, *, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return a value as JSON, shortened to ``limit`` characters. The string ``"3"`` thus differs from the number 3."""
    return plain(json.dumps(value, default=str, ensure_ascii=False), limit=limit)


def plain(text: object, *, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return a text without quotes, shortened to ``limit`` characters and with unprintable characters escaped."""
    # The text is also cut before it is escaped, because escaping a megabyte is slow.
    escaped = _printable(str(text)[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def plain_path(path: object) -> str:
    """Return a path without quotes, on one line, shortened only if it is very long."""
    return plain(path, limit=MAX_PATH_CHARACTERS)


def start_of(path: Path) -> str:
    """Return what to add to a message about a path that cannot be opened: the folder at which a relative path begins.

    The text is ", which begins at FOLDER", or empty for an absolute path.
    """
    return "" if path.is_absolute() else f", which begins at {plain_path(Path.cwd())}"


def sentence(message: object) -> str:
    """Return the message of an error on one line, with very long words and a very long message shortened."""
    text = re.sub(rf"(\S{{{_MAX_WORD_CHARACTERS}}})\S+", r"\1...", str(message))
    return plain(text, limit=_MAX_SENTENCE_CHARACTERS)


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
