"""Lists in sentences about data."""

from collections.abc import Sequence
from typing import Final

from peerkd.data.passed_over import printable
from peerkd.excerpt import plain

_MAX_ITEM_CHARACTERS: Final = 160


def listed(items: Sequence[object], *, num_named: int = 5, separator: str = ", ") -> str:
    """Return the first items on one line, long ones shortened, and the number of the others."""
    num_more = len(items) - num_named
    named = separator.join(plain(printable(str(item)), limit=_MAX_ITEM_CHARACTERS) for item in items[:num_named])
    return named + (f" and {num_more:,} more" if num_more > 0 else "")
