"""The layers of a config, from low to high: a preset or the defaults, a text, and single fields.

A higher layer overrides a lower one. A mapping in a text is merged key by key into the mapping of the lower layer. A
list or any other value replaces the value of the lower layer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from peerkd.config.overrides import Path as FieldPath
from peerkd.config.overrides import leaves, read_override
from peerkd.config.places import KeyAndValue, find_places
from peerkd.config.strict import StrictConfig
from peerkd.config.unknown_keys import Remark
from peerkd.config.unused import unused_texts
from peerkd.config.violations import BrokenRule, ConfigError, raise_all

Config = TypeVar("Config", bound=StrictConfig)

_FIELD_IN_TEXT: Final = re.compile(r"[\w-]+(?:\[\d+\])?(?:\.[\w-]+(?:\[\d+\])?)*")


class TextLayer(NamedTuple):
    """The layer that the user has written as a text, in a file or in a parameter."""

    text: str
    values: Mapping[str, Any]
    source: str
    """The name of the file or parameter. A message about an error in the text begins with this name and the place."""


def combine(base: Config, *, text: TextLayer | None = None, pairs: Iterable[str] = (), remark: Remark) -> Config:
    """Return the config that results from all layers.

    Args:
        base: The lowest layer.
        text: The layer above ``base``, if there is one.
        pairs: The highest layer, as ``key=value`` pairs.
        remark: A function that returns a remark on an unknown key, such as the pipeline to which the key belongs.

    Raises:
        ConfigError: If a pair is not ``key=value``, the result breaks rules, or pairs set fields that have no effect
            in the result. The message has all of these errors, with their places in the text.
    """
    values: dict[str, Any] = base.model_dump(mode="json")
    if text is not None:
        _merge(values, text.values)
        _discard_counts(values, dict(_merged_leaves((), text.values)), base.counts)
    given, refused = _read(pairs)
    for path, value in given.items():
        if isinstance(value, dict):
            _assign(values, path, {})
    fields = dict(leaf for path, value in given.items() for leaf in leaves(path, value))
    _set(values, fields)
    _discard_counts(values, fields, base.counts)
    try:
        config = type(base).from_mapping(values, remark=remark)
    except ConfigError as error:
        raise ConfigError([*map(BrokenRule, refused), *_with_places(error.broken, text, set(fields))]) from error
    raise_all([*refused, *unused_texts(config, map(".".join, fields))])
    return config


def _read(pairs: Iterable[str]) -> tuple[dict[FieldPath, Any], list[str]]:
    """Return the value that pairs give to each path, and a message for each pair that cannot be read."""
    given: dict[FieldPath, Any] = {}
    refused: list[str] = []
    for pair in pairs:
        try:
            path, value = read_override(pair)
        except ValueError as error:
            refused.append(str(error))
            continue
        given.pop(path, None)
        given[path] = value
    return given, refused


def _merge(values: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Merge a mapping into values.

    If the mapping gives a section a new kind, the fields of the old kind are dropped first.
    """
    if "kind" in layer and values.get("kind", layer["kind"]) != layer["kind"]:
        values.clear()
    for name, value in layer.items():
        below = values.get(name)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _merge(below, value)
        else:
            values[name] = value


def _merged_leaves(path: FieldPath, values: Mapping[str, Any]) -> Iterator[tuple[FieldPath, Any]]:
    for name, value in values.items():
        yield from leaves((*path, name), value)


def _set(values: dict[str, Any], fields: Mapping[FieldPath, Any]) -> None:
    """Set fields, each given by its path. A new kind of a section resets the other fields of the section."""
    for (*section, name), value in fields.items():
        if name == "kind":
            _reset_unless_of_kind(values, section, value)
    # Short paths come first. With seed=1 and seed.a=2, the validation then sees, and refuses, seed.a.
    for path in sorted(fields, key=len):
        _assign(values, path, fields[path])


def _discard_counts(
    values: dict[str, Any], fields: Mapping[FieldPath, Any], counts: Mapping[str, tuple[str, ...]]
) -> None:
    """Discard the field with the length of a list if a layer replaces the list and does not set this field.

    The config then computes the length of the new list itself.
    """
    for field, lists in counts.items():
        path = tuple(field.split("."))
        if path not in fields and any(tuple(entries.split(".")) in fields for entries in lists):
            _discard(values, path)


def _discard(values: dict[str, Any], path: FieldPath) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section, {})
        if not isinstance(inner, dict):
            # The validation refuses what is no section.
            return
        values = inner
    values.pop(last, None)


def _assign(values: dict[str, Any], path: FieldPath, value: object) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            # If the section does not exist, the validation refuses it with its full path.
            inner = values[section] = {}
        values = inner
    values[last] = value


def _reset_unless_of_kind(values: dict[str, Any], path: Iterable[str], kind: object) -> None:
    section: Any = values
    for name in path:
        section = section.get(name) if isinstance(section, dict) else None
    if isinstance(section, dict) and section.get("kind", kind) != kind:
        section.clear()


def _with_places(broken: Iterable[BrokenRule], text: TextLayer | None, overridden: set[FieldPath]) -> list[BrokenRule]:
    """Return broken rules with the places of their values in the text, in the order of the text.

    A value that a pair has set, or that comes from the lowest layer, has no place in the text.
    """
    places = find_places(text.text) if text is not None else {}
    if text is None or not places:
        return list(broken)
    found = [(_place_of(rule, places, overridden), rule) for rule in broken]
    placed = sorted((each for each in found if each[0] is not None), key=lambda each: each[0] or (0, 0))
    return [
        *(rule._replace(text=f"{text.source}, {place}: {rule.text}") for place, rule in placed),
        *(rule for place, rule in found if place is None),
    ]


def _place_of(rule: BrokenRule, places: Mapping[tuple[str | int, ...], KeyAndValue], overridden: set[FieldPath]) -> Any:
    """Return the place of the value or key that breaks a rule, or else of the innermost section around it.

    Return None if the text contains neither of them, or if a pair has set the value.
    """
    path = rule.path
    if path not in places or not rule.is_about_key:
        # The sentence of a rule about a whole section begins with the field that it is about.
        path = max(path, _path_in(rule.text), key=len)
    if any(path[: len(each)] == each for each in overridden):
        return None
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            is_key = rule.is_about_key and length == len(path)
            return places[path[:length]].key if is_key else places[path[:length]].value
    return None


def _path_in(text: str) -> tuple[str | int, ...]:
    match = _FIELD_IN_TEXT.match(text)
    parts = re.findall(r"[^.\[\]]+", match[0]) if match else []
    return tuple(int(part) if part.isdecimal() else part for part in parts)
