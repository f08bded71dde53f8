"""Overrides, ``dotted.key=value`` pairs that people type, and the fields that they set."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from peerkd.config.yaml_text import read_yaml
from peerkd.excerpt import plain

Path: TypeAlias = tuple[str, ...]
"""The names that lead to a field, as in ``("distill", "loss", "kind")``."""


def read_override(pair: str) -> tuple[Path, Any]:
    """Return the path and the value of a pair. The value is YAML, so ``[1,2]`` is a list.

    Raises:
        ValueError: If the pair is not ``key=value``, or the value is not YAML.
    """
    key, separator, text = pair.partition("=")
    path = tuple(key.split("."))
    if not separator or not all(part.strip() for part in path):
        raise ValueError(f"An override (--set) must have the form key=value, as in seed=3, got {plain(pair)}.")
    try:
        return path, read_yaml(text)
    except ValueError as error:
        raise ValueError(f"The value of {plain(key)} must be YAML, got {plain(text)}: {error}.") from error


def leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the value of each field that an override sets.

    If ``value`` is a mapping, the override sets several fields.
    """
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, inner in value.items():
        yield from leaves((*path, name), inner)


def overridden_fields(pairs: Iterable[str]) -> Iterator[str]:
    """Yield the dotted name of every field that ``key=value`` pairs set, including the fields of a mapping."""
    for path, value in map(read_override, pairs):
        for field, _ in leaves(path, value):
            yield ".".join(map(str, field))
