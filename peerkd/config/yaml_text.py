"""A reader and writer of YAML 1.2.

PyYAML does the parsing, but would resolve plain scalars to the types of YAML 1.1. This module resolves them by the core
schema of YAML 1.2: ``010`` is ten, ``0o10`` is eight, and ``12:30:45``, ``yes`` and ``2026-01-31`` are strings. Tags
can create only null, booleans, numbers, strings, lists and mappings.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from peerkd.config.json_text import MAX_DEPTH, MAX_VALUES, check_length, integer, number, read_json
from peerkd.excerpt import plain

_TAG: Final = "tag:yaml.org,2002:"
_FORMS: Final = {
    "null": re.compile(r"null|Null|NULL|~|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}
"""The notation of each type (YAML 1.2.2, section 10.3.2). A plain scalar has the first type whose pattern matches it
completely, and is a string if none matches."""

_MEANINGS: Final = {"null": "null", "bool": "true or false", "int": "a whole number", "float": "a number"}
_MERGE_KEY: Final = "<<"
"""The key of YAML 1.1 that merges mappings. People use it with anchors."""


def read_yaml(text: str) -> Any:
    """Return the value of a document of YAML 1.2 or JSON.

    Raises:
        ValueError: If the text is not YAML or exceeds a limit, if a mapping repeats a key or has a key that is not a
            string, or if a tag is not of the core schema. The message is a clause with which the caller completes its
            own sentence. It gives the line and the column.
    """
    check_length(text)
    if text.lstrip()[:1] in ("{", "["):
        # PyYAML refuses some valid JSON: tabs between values, and escapes of characters beyond 16 bits.
        try:
            return read_json(text)
        except ValueError:
            pass
    with _places(text):
        node = compose(text)
        return None if node is None else _value(node)


def compose(text: str) -> yaml.Node | None:
    """Return the node of the document in a text, with the places of all values, or None if the text is empty.

    Raises:
        ValueError: If the text is not YAML 1.2 or exceeds a limit.
    """
    with _places(text):
        loader = _Loader(text, max_values=MAX_VALUES)
        node = loader.get_single_node()
        if loader.yaml_version == (1, 1):
            raise ValueError("the directive %YAML requests version 1.1, and configs are YAML 1.2")
        return node


def read_documents(text: str, *, max_values: int) -> list[Any]:
    """Return the values of all documents in a text, without a limit on its length.

    Raises:
        ValueError: If the text is not YAML, if it has more than ``max_values`` values or too many levels, if a mapping
            repeats a key or has a key that is not a string, or if a tag is not of the core schema.
    """
    with _places(text):
        loader = _Loader(text, max_values=max_values)
        documents = []
        while loader.check_node():
            node = loader.get_node()
            documents.append(None if node is None else _value(node))
        return documents


def write_yaml(value: Any) -> str:
    """Return a value as YAML. Strings are quoted if YAML 1.1 or 1.2 would read them as another type."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def write_yaml_line(value: Any) -> str:
    """Return a value as YAML in one line of ASCII characters, such as ``{name: a, files: [b, c]}``."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=math.inf, allow_unicode=False
    ).strip()


class _Dumper(yaml.SafeDumper):
    """The dumper of PyYAML, which also quotes strings that only YAML 1.2 would read as another type."""


for _name, _form in _FORMS.items():
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_form.pattern})$"), None)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """The loader of PyYAML without a constructor. It composes nodes, which ``_value`` converts to values."""

    def __init__(self, text: str, *, max_values: int) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._max_values = max_values
        self._num_values = 0
        self._depth = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, and check the limits on values and on nesting.

        An alias counts as the same number of values as the node that it repeats.
        """
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._num_values
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if name in self.anchors and name not in self._sizes:
                raise _error(f"the alias *{plain(name)} is inside its own anchor", event)
            self._num_values += self._sizes.get(name, 1)
        else:
            self._num_values += 1
        self._depth += 1
        if self._num_values > self._max_values:
            raise _error(f"it has more than {self._max_values:,} values", event)
        if self._depth > MAX_DEPTH:
            raise _error(f"lists and mappings are nested more than {MAX_DEPTH} levels deep", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._num_values - before
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node that is written without a tag."""
        if kind is yaml.ScalarNode:
            is_plain = implicit[0]
            return _TAG + next((name for name, form in _FORMS.items() if is_plain and form.fullmatch(value)), "str")
        return _TAG + ("seq" if kind is yaml.SequenceNode else "map")


def _value(node: yaml.Node) -> Any:
    match node, node.tag.removeprefix(_TAG):
        case yaml.MappingNode(), "map":
            return _mapping(node)
        case yaml.SequenceNode(), "seq":
            return [_value(item) for item in node.value]
        case yaml.ScalarNode(), "str":
            return node.value
        case yaml.ScalarNode(), ("null" | "bool" | "int" | "float") as name:
            return _scalar(node, name)
    raise _error(
        f"the tag {plain(node.tag.replace(_TAG, '!!'))} is not a standard YAML tag, or does not fit its value", node
    )


def _scalar(node: yaml.ScalarNode, name: str) -> Any:
    text: str = node.value
    is_whole = _FORMS["int"].fullmatch(text) is not None
    if not (_FORMS[name].fullmatch(text) or (name == "float" and is_whole)):
        raise _error(f"!!{name} must be {_MEANINGS[name]}, got {plain(text)}", node)
    try:
        match name:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "float" if not is_whole:
                return _float(text)
        whole = integer(text[2:], {"o": 8, "x": 16}[text[1]]) if text[1:2] in ("o", "x") else integer(text)
        return float(whole) if name == "float" else whole
    except ValueError as error:
        raise _error(str(error), node) from error


def _float(text: str) -> float:
    match text.lower().lstrip("+-"):
        case ".nan":
            return math.nan
        case ".inf":
            return -math.inf if text.startswith("-") else math.inf
    return number(text)


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    """Return the mapping of a node.

    The key ``<<`` merges other mappings into it. If a key is also in the node itself, the value in the node counts.
    """
    values: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = _value(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            shown = plain(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
            raise _error(f"a key must be a string, got {shown}", key_node)
        if key in seen:
            raise _error(f"{plain(key)} must occur only once in a mapping, but occurs again", key_node)
        seen.add(key)
        if key == _MERGE_KEY and not key_node.style:
            merged = _merged(value_node)
        else:
            values[key] = _value(value_node)
    return {**merged, **values}


def _merged(node: yaml.Node) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(each, yaml.MappingNode):
            raise _error("<< must be given a mapping or a list of mappings", each)
        merged = {**_mapping(each), **merged}
    return merged


@contextmanager
def _places(text: str) -> Iterator[None]:
    """Replace an error of the parser in the ``with`` block by a ``ValueError`` that gives the line and the column."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        raise ValueError(_problem(error) + _place(error.problem_mark or error.context_mark)) from error
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise ValueError(
            f"the character U+{ord(text[error.position]):04X} is not allowed in line {line}, column {column}"
        ) from error


def _error(problem: str, where: yaml.Node | yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = where.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be parsed"
    if problem.startswith("found character '\\t'"):
        return "a tab stands where YAML requires spaces"
    if problem == "but found another document":
        return "a second document begins"
    return plain(problem, limit=200)


def _place(mark: yaml.Mark | None) -> str:
    return f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
