"""Formatting of names and lists in sentences about data."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from peerkd.excerpt import plain

WARNING: Final = "warning: "
"""The beginning of a remark on a data set that is a warning. Such a remark consists of sentences. Any other remark is a
phrase."""

_MAX_ITEM_CHARACTERS: Final = 160


def listed(items: Sequence[object], *, num_named: int = 5, separator: str = ", ") -> str:
    """Return one line with the first items and the number of all further items. Long items are shortened."""
    num_more = len(items) - num_named
    named = separator.join(plain(printable(str(item)), limit=_MAX_ITEM_CHARACTERS) for item in items[:num_named])
    return named + (f" and {num_more:,} more" if num_more > 0 else "")


def without_form(name: str) -> str:
    """Return a name without what people overlook: case, spaces, leading zeros and Unicode form."""
    text = "".join(unicodedata.normalize("NFKC", name).casefold().split())
    return text.lstrip("0") or text[-1:]


def printable(name: str) -> str:
    r"""Return the name of a file on one line of UTF-8, with escapes such as ``\xff`` or ``\n`` for unprintable bytes.

    Names in a file system may have any encoding. Python decodes bytes that are not UTF-8 to lone surrogates, which
    cannot be encoded in JSON or in an HTML page in UTF-8.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
