"""A reader of JSON that limits its size and refuses repeated keys and numbers of more than 64 bits."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from peerkd.excerpt import plain

MAX_CHARACTERS: Final = 256 * 1024
"""The maximum number of characters of a config. A complete experiment with all defaults has 4,000 characters."""

MAX_VALUES: Final = 10_000
"""The limit on the number of values in a config, including lists and objects."""

MAX_DEPTH: Final = 40
"""The limit on the nesting of lists and objects."""

_MAX_INTEGER: Final = 2**63
_TOO_DEEP: Final = f"lists and objects are nested more than {MAX_DEPTH} levels deep"


def read_json(text: str) -> Any:
    """Return the value of a JSON text.

    NaN and Infinity, which are not JSON, are accepted here. The config refuses them later, with a message that names
    the field.

    Raises:
        ValueError: If the text is not JSON, exceeds a limit, or repeats a key in an object. The message is a clause
            with which the caller completes its own sentence.
    """
    check_length(text)
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_int=integer, parse_float=number)
    except json.JSONDecodeError as error:
        # Whether Python refuses thousands of levels by a RecursionError depends on its version.
        before = text[: error.pos]
        if sum(map(before.count, "[{")) - sum(map(before.count, "]}")) > MAX_DEPTH:
            raise ValueError(_TOO_DEEP) from error
        problem = error.msg[:1].lower() + error.msg[1:]
        raise ValueError(f"{problem} in line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_size(value)
    return value


def check_length(text: str) -> None:
    """Check that a text is short enough for a config.

    Raises:
        ValueError: If it is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and the limit is {MAX_CHARACTERS:,}")


def integer(text: str, base: int = 10) -> int:
    """Return the whole number whose digits in a base are given as text.

    Raises:
        ValueError: If the number does not fit into 64 bits.
    """
    # Python refuses more than 4,300 digits with a message that people would not understand.
    value = int(text, base) if len(text) <= 80 else _MAX_INTEGER
    if not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise ValueError(f"a whole number must fit into 64 bits, got {plain(text)}")
    return value


def number(text: str) -> float:
    """Return the number that is written as a decimal fraction, with or without an exponent.

    Raises:
        ValueError: If the number exceeds the largest 64-bit float.
    """
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"a number must fit into 64 bits, got {plain(text)}")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(
            f"{plain(repeated)} must occur only once in an object, but occurs {keys.count(repeated)} times"
        )
    return values


def _check_size(value: Any) -> None:
    num_values, level = 0, [value]
    for _ in range(MAX_DEPTH + 1):
        num_values += len(level)
        if num_values > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES:,} values")
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _inner(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            yield from value.values()
        case list():
            yield from value
