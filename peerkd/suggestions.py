"""Suggestions for a name that does not exist: the known names that the user may have meant."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from peerkd.excerpt import plain

MAX_SUGGESTIONS: Final = 3
MIN_SIMILARITY: Final = 0.7
"""The similarity, from 0 to 1, above which a name is suggested."""

_MARGIN: Final = 0.08
"""Names are suggested together if their similarities differ by less than this."""

_FILLERS: Final = frozenset({"n", "num", "number", "of", "the"})
"""Words that people add to a name or leave out."""

_MAX_CHARACTERS: Final = 80
_SHORT_CHARACTERS: Final = 4
_MIN_STEM_CHARACTERS: Final = 4


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that resemble a name, the most similar first, at most ``MAX_SUGGESTIONS``."""
    return nearest({each: similarity(name, each) for each in known})


def nearest(similarities: Mapping[str, float]) -> list[str]:
    """Return the names that are similar enough to be suggested, the most similar first.

    Args:
        similarities: The similarity of each name, as ``similarity`` returns it.
    """
    best = max(similarities.values(), default=0.0)
    wanted = [name for name, each in similarities.items() if each >= max(MIN_SIMILARITY, best - _MARGIN)]
    return sorted(wanted, key=lambda name: -similarities[name])[:MAX_SUGGESTIONS]


def similarity(name: str, known: str) -> float:
    """Return how much a name resembles a known name, from 0 to 1. The result is 1 if they differ at most in their case.

    A name resembles another if their letters do (``temprature``), if it abbreviates the other by its initials (``lr``
    for ``learning_rate``) or its beginning (``temps``), or if it has words of the other (``batch`` for ``batch_size``).
    """
    words, others = _words(name[:_MAX_CHARACTERS]), _words(known)
    joined, other = "".join(words), "".join(others)
    if joined == other:
        return 1.0
    ratio = difflib.SequenceMatcher(None, joined, other).ratio()
    if len(others) > 1 and joined == "".join(word[0] for word in others):
        return max(ratio, 0.95)
    if len(joined) <= _SHORT_CHARACTERS and len(other) <= len(joined) + 1 and ratio >= 0.6:
        # One wrong letter of three leaves a ratio of two thirds.
        ratio += 0.1
    content, other_content = set(words) - _FILLERS, set(others) - _FILLERS
    if content and other_content:
        if _match(content, other_content) and _match(other_content, content):
            ratio = max(ratio, 0.85)
        elif content < other_content or other_content < content:
            ratio = max(ratio, 0.8)
    stem = joined.removesuffix("s")
    is_beginning = len(stem) >= _MIN_STEM_CHARACTERS and other.startswith(stem)
    return max(ratio, 0.9 + ratio / 10) if is_beginning else ratio


def did_you_mean(names: Collection[str]) -> str:
    """Return suggestions as a remark in parentheses, with a space before it; empty if there are none."""
    return f" (did you mean {either(names)}?)" if names else ""


def either(names: Collection[str]) -> str:
    """Return names as alternatives, as in ``a, b or c``."""
    *others, last = map(plain, names)
    return f"{', '.join(others)} or {last}" if others else last


def one_of(names: Iterable[str]) -> str:
    """Return the names among which a value must be, as in ``one of a, b, c`` or ``a or b``."""
    shown = [plain(name) for name in names]
    return either(shown) if len(shown) < 3 else f"one of {', '.join(shown)}"


def check_choice(field: str, value: str, choices: Iterable[str]) -> None:
    """Check that a value is one of the choices of a field.

    Raises:
        ValueError: If it is none of them. The message suggests a similar choice.
    """
    known = list(choices)
    if value not in known:
        suggestion = did_you_mean(near(value, known))
        raise ValueError(f"{field} must be {one_of(known)}, got {plain(value)}{suggestion}.")


def _match(words: Collection[str], others: Collection[str]) -> bool:
    """Return whether each of ``words`` resembles one of ``others``."""
    return all(difflib.get_close_matches(word, others, n=1, cutoff=0.8) for word in words)


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case: ``learningRate``, ``learning-rate`` and ``learning_rate`` have two."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", snake.lower()) if word]
