"""The message for a broken rule of a config: one sentence with the field, the rule, the value and a suggestion."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from peerkd.excerpt import excerpt, plain, sentence

_MAX_SUGGESTIONS: Final = 3


def describe(error: ValidationError, values: Any, schema: Mapping[str, Any]) -> str:
    """Return one sentence about the first broken rule.

    The sentence covers one rule only, because one wrong key often breaks several and the others do not help the user.

    Args:
        error: The error of pydantic.
        values: The values that pydantic validated.
        schema: The JSON schema of the config. Suggestions are taken from its names.
    """
    first = error.errors(include_url=False)[0]
    return sentence(_describe(first, _path(first["loc"], values), schema))


def _describe(first: Any, field: str, schema: Mapping[str, Any]) -> str:
    value = excerpt(first["input"])
    match first["type"]:
        case "extra_forbidden":
            return f"{plain(field)} is not a key of {_home(first['loc'], field, schema)}, got {value}."
        case "missing":
            return f"{field} is required."
        case "value_error":
            # The message of a section's validator names field, rule and value, relative to the section.
            message = str(first["ctx"]["error"])
            return f"{field}.{message}" if field else message
        case "union_tag_invalid":
            tags, tag = first["ctx"]["expected_tags"], plain(first["ctx"]["tag"])
            close = difflib.get_close_matches(tag[:80], re.findall(r"'(\w+)'", tags), n=1, cutoff=0.7)
            suggestion = f" (did you mean {close[0]}?)" if close else ""
            return f"{field}.kind must be one of {tags}{suggestion}, got {tag}."
        case "union_tag_not_found":
            reminder = _reminder(first["input"])
            return f"{field}.kind is required{reminder}, got {value}."
        case "dict_type" if f"{field}.kind" in _names("", schema, schema.get("$defs", {})):
            is_kind = isinstance(first["input"], str) and first["input"].isidentifier()
            example = f", as in {{kind: {plain(first['input'])}}}" if is_kind else ""
            return f"{field} must be a section with a kind{example}, got {value}."
        case "tuple_type" | "list_type":
            example = f", as in [{value}]" if isinstance(first["input"], (str, int, float)) else ", as in [a, b]"
            return f"{field} must be a list{example}, got {value}."
        case "bool_type" | "bool_parsing":
            return f"{field} must be true or false, got {value}."
    rule = re.sub(r"^\w+ should ", "must ", first["msg"]).partition(" after validation")[0]
    return f"{field or 'The config'} {rule}, got {value}."


def _home(location: tuple[int | str, ...], field: str, schema: Mapping[str, Any]) -> str:
    """Return the end of the message for an unknown key: the part of the config that lacks the key, and a suggestion.

    The part is the config or the kind of a section. The message begins with "... is not a key of".
    """
    names = list(dict.fromkeys(_names("", schema, schema.get("$defs", {}))))
    # The fields of all sections in a list have the same names.
    field = re.sub(r"\[\d+\](?=\.)", "", field)
    section, _, name = field.partition("[")[0].rpartition(".")
    if field in names and "." in str(location[-1]):
        return f"the config in this form (write {name} inside {section})"
    if field in names:
        # Before the field, pydantic's location has the kind of the section.
        others = [kind for kind, fields in _fields_by_kind(section, schema).items() if name in fields]
        return f"the kind {location[-2]} (it belongs to {' and '.join(others)})"
    nearby = {known.rpartition(".")[2]: known for known in names if known.rpartition(".")[0] == section}
    meant = [known for known in names if known.rpartition(".")[2] == name]
    meant = meant or [nearby[close] for close in difflib.get_close_matches(name[:80], nearby, n=1, cutoff=0.7)]
    suggestion = f" (did you mean {' or '.join(meant[:_MAX_SUGGESTIONS])}?)" if meant else ""
    return f"the config{_reminder([name]) or suggestion}"


def _reminder(keys: Iterable[object]) -> str:
    """Return a reminder of the syntax of YAML if a key contains a colon: in ``{kind:kl}``, the key is ``kind:kl``."""
    return " (YAML requires a space after each colon)" if any(":" in str(key) for key in keys) else ""


def _fields_by_kind(section: str, schema: Mapping[str, Any]) -> dict[str, Collection[str]]:
    """Return the fields of each kind of a section that has kinds."""
    definitions = schema["$defs"]
    for name in section.split("."):
        field = schema["properties"][name]
        options = [definitions[each["$ref"].rpartition("/")[2]] for each in field.get("oneOf", [field])]
        schema = options[0]
    return {option["properties"]["kind"]["const"]: option["properties"] for option in options}


def _names(section: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted names of all fields and sections, for every kind of each section."""
    for name, field in schema.get("properties", {}).items():
        full = f"{section}.{name}" if section else name
        yield full
        for each in [field, field.get("items", {}), *field.get("oneOf", ())]:
            if "$ref" in each:
                yield from _names(full, definitions[each["$ref"].rpartition("/")[2]], definitions)


def _path(location: tuple[int | str, ...], values: object) -> str:
    """Return a location of pydantic as ``sweep.alphas[2]``. The tags for kinds of sections are left out of it."""
    path = ""
    for depth, part in enumerate(location):
        # A key that is missing is last, but so is the kind of a section whose fields do not fit together.
        is_last = depth == len(location) - 1
        if isinstance(values, dict) and part not in values and (not is_last or part == values.get("kind")):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
    return path
