"""The places in a text at which the keys and values of a config stand."""

from typing import Final, NamedTuple, TypeAlias

import yaml

from peerkd.config.yaml_text import compose

FieldPath: TypeAlias = tuple[str | int, ...]
"""The keys, and the positions in lists, that lead to a value."""

_MERGE_KEY: Final = "<<"


class Place(NamedTuple):
    """A place in a text."""

    line: int
    """The number of the line, counted from 1."""

    column: int
    """The number of the character in its line, counted from 1."""

    def __str__(self) -> str:
        """Return the place in words."""
        return f"line {self.line}, column {self.column}"


class KeyAndValue(NamedTuple):
    """The places of a key and of its value. An entry of a list has the same place for both."""

    key: Place
    value: Place


def find_places(text: str) -> dict[FieldPath, KeyAndValue]:
    """Return the places of all keys and values of a text in YAML or JSON; empty if the text cannot be parsed."""
    try:
        # Tabs may separate the values of JSON, but not those of YAML.
        node = compose(text.replace("\t", " "))
    except ValueError:
        return {}
    found: dict[FieldPath, KeyAndValue] = {}
    if node is not None:
        _collect((), node, found)
    return found


def _collect(path: FieldPath, node: yaml.Node, found: dict[FieldPath, KeyAndValue]) -> None:
    match node:
        case yaml.MappingNode():
            # Keys of the mapping itself come first, because they count more than merged ones.
            for key_node, value_node in sorted(node.value, key=lambda pair: bool(pair[0].value == _MERGE_KEY)):
                if key_node.value != _MERGE_KEY:
                    _add((*path, str(key_node.value)), key_node, value_node, found)
                    continue
                for merged in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    _collect(path, merged, found)
        case yaml.SequenceNode():
            for index, item in enumerate(node.value):
                _add((*path, index), item, item, found)


def _add(path: FieldPath, key: yaml.Node, value: yaml.Node, found: dict[FieldPath, KeyAndValue]) -> None:
    if path not in found:
        found[path] = KeyAndValue(_place(key), _place(value))
        _collect(path, value, found)


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
