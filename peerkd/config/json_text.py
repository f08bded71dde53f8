"""JSON that a person or a pipeline wrote: bounded, without repeated keys, with numbers of 64 bits."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from peerkd.excerpt import plain

MAX_CHARACTERS: Final = 256 * 1024
"""Characters in a config. A whole experiment with every default written out has 4,000."""

MAX_VALUES: Final = 10_000
"""Values in a config, lists and objects included."""

MAX_DEPTH: Final = 40
"""Levels of lists and objects inside one another."""

_MAX_INTEGER: Final = 2**63


def read_json(text: str) -> Any:
    """Return the value that a text of JSON stands for.

    NaN and Infinity, which JSON does not have, are left to the rules of the fields: they name the field.

    Raises:
        ValueError: If the text is not JSON, goes beyond a bound, or repeats a key in an object. The message is the
            second half of a sentence.
    """
    check_length(text)
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_int=integer, parse_float=number)
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        raise ValueError(f"{problem} in line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError(f"it has more than {MAX_DEPTH} lists and objects inside one another") from error
    _check_size(value)
    return value


def check_length(text: str) -> None:
    """Check that a text is short enough for a config.

    Raises:
        ValueError: If it is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters and may have {MAX_CHARACTERS:,}")


def integer(text: str, base: int = 10) -> int:
    """Return the whole number that digits stand for.

    Raises:
        ValueError: If it does not fit into 64 bits.
    """
    # Python refuses more than 4,300 digits with a message of its own.
    value = int(text, base) if len(text) <= 80 else _MAX_INTEGER
    if not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise ValueError(f"a whole number must fit into 64 bits, got {plain(text)}")
    return value


def number(text: str) -> float:
    """Return the number that a decimal fraction, or one with an exponent, stands for.

    Raises:
        ValueError: If it is beyond the largest float of 64 bits.
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
        raise ValueError(f"{plain(repeated)} must be given once in an object, got it {keys.count(repeated)} times")
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
    raise ValueError(f"it has more than {MAX_DEPTH} lists and objects inside one another")


def _inner(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            yield from value.values()
        case list():
            yield from value
