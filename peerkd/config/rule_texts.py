"""The messages for broken rules of fields, in words that require no knowledge of Python's types."""

import re
from collections.abc import Mapping
from typing import Any, Final

from peerkd.config.unknown_keys import Schema, all_fields, fields_by_kind, syntax_reminder
from peerkd.excerpt import excerpt, plain
from peerkd.suggestions import did_you_mean, near, one_of
from peerkd.wording import plural

_BOUNDS: Final = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
"""The error types of pydantic for a number outside its range. Each type has the words for the rule, and the name of the
bound in the error's context."""

_WORDS_FOR_TRUTH: Final = {
    **dict.fromkeys(("true", "yes", "on", "y"), "true"),
    **dict.fromkeys(("false", "no", "off", "n"), "false"),
}
"""What people write for true and false."""


def rule_text(error: Mapping[str, Any], field: str, schema: Schema) -> str:
    """Return the message for any broken rule, except for an unknown key.

    Args:
        error: One of pydantic's ``ValidationError.errors()``.
        field: The dotted name of the field; empty for the whole config.
        schema: The JSON schema of the config.
    """
    given, context = error["input"], error.get("ctx", {})
    value = excerpt(given)
    match error["type"]:
        case "missing":
            return f"{field} is required{_meaning(field, schema)}."
        case "value_error":
            # The message of a section's validator names field, rule and value, relative to the section.
            return f"{field}.{context['error']}" if field else str(context["error"])
        case "union_tag_invalid":
            tags, tag = _quoted(context["expected_tags"]), plain(context["tag"])
            return f"{field}.kind must be {one_of(tags)}, got {tag}{did_you_mean(near(tag, tags))}."
        case "union_tag_not_found":
            return f"{field}.kind is required{syntax_reminder(given)}, got {value}{_kind_of(field, given, schema)}."
        case "literal_error":
            choices = _quoted(context["expected"])
            suggestion = did_you_mean(near(given, choices)) if isinstance(given, str) else ""
            return f"{field} must be {one_of(choices)}, got {value}{suggestion}."
        case "string_pattern_mismatch":
            rule = _rule_of_pattern(context["pattern"], schema)
            return f"{field} must {rule or 'match the pattern ' + context['pattern']}, got {value}."
        case "own_code":
            rule = context["rule"]
            return f"{field} {rule}." if ", got " in rule else f"{field} {rule}, got {value}."
        case "dict_type" if f"{field}.kind" in all_fields(schema):
            kinds = list(fields_by_kind(field, schema))
            meant = near(given, kinds) if isinstance(given, str) else []
            return f"{field} must be a section with a kind, as in {{kind: {[*meant, *kinds][0]}}}, got {value}."
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{field or 'The config'} must be a {_section_words(field, schema)}, got {value}."
    return f"{field or 'The config'} must {_rule_of_value(error, given)}, got {value}."


def _meaning(field: str, schema: Schema) -> str:
    """Return a colon and the meaning of a field, if the section of the field has kinds; otherwise an empty text."""
    section, _, name = field.rpartition(".")
    if f"{section}.kind" not in all_fields(schema):
        return ""
    for fields in fields_by_kind(section, schema).values():
        if text := fields.get(name, {}).get("description", ""):
            return f": {text[0].lower()}{text[1:].partition('. ')[0].rstrip('.')}"
    return ""


def _kind_of(field: str, given: object, schema: Schema) -> str:
    """Return the advice to add a kind to a section, if only one kind has all of the given fields; otherwise empty."""
    if not isinstance(given, Mapping) or not given or field not in all_fields(schema):
        return ""
    kinds = [kind for kind, fields in fields_by_kind(field, schema).items() if set(given) <= set(fields)]
    return f"; add kind: {kinds[0]}" if len(kinds) == 1 else ""


def _rule_of_value(error: Mapping[str, Any], given: object) -> str:
    """Return the words after "must" for a value of the wrong type, or outside its range."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        word, name = _BOUNDS[kind]
        bound = context[name]
        return f"be {word} {f'{bound:g}' if isinstance(bound, float) else bound}"
    match kind:
        case "int_type" | "int_from_float":
            return f"be a whole number{_without_quotes(given, r'[-+]?[0-9]+')}"
        case "float_type":
            return f"be a number{_without_quotes(given, r'[-+]?[0-9.]+(e[-+]?[0-9]+)?')}"
        case "finite_number":
            return "be a finite number"
        case "string_type":
            is_short = isinstance(given, int | float)
            return f'be text, as in "{plain(given)}"' if is_short else "be text"
        case "bool_type":
            meant = _WORDS_FOR_TRUTH.get(given.lower()) if isinstance(given, str) else None
            return f"be true or false{did_you_mean([meant] if meant else [])}"
        case "tuple_type" | "list_type":
            example = excerpt(given) if isinstance(given, str | int | float) else "a, b"
            return f"be a list, as in [{example}]"
        case "too_short":
            return f"have at least {plural(context['min_length'], 'entry', 'entries')}"
        case "too_long":
            return f"have at most {plural(context['max_length'], 'entry', 'entries')}"
        case "string_too_short":
            return f"have at least {plural(context['min_length'], 'character')}"
        case "string_too_long":
            return f"have at most {plural(context['max_length'], 'character')}"
    return re.sub(r"^\w+ should ", "", str(error["msg"])).partition(" after validation")[0]


def _without_quotes(given: object, form: str) -> str:
    """Return an example if the user has put a number in quotes, else an empty text."""
    is_quoted = isinstance(given, str) and re.fullmatch(form, given, re.IGNORECASE)
    return f" without quotes, as in {plain(given)}" if is_quoted else ""


def _quoted(text: str) -> list[str]:
    """Return the names in a text such as ``'auto', 'cpu' or 'cuda'``."""
    return re.findall(r"'([^']*)'", text)


def _rule_of_pattern(pattern: str, schema: Any) -> str:
    """Return the rule of a pattern in the words that the schema gives next to the pattern; empty if it gives none."""
    match schema:
        case {"pattern": found, "rule": str(rule)} if found == pattern:
            return rule
        case dict():
            return next(filter(None, (_rule_of_pattern(pattern, each) for each in schema.values())), "")
        case list():
            return next(filter(None, (_rule_of_pattern(pattern, each) for each in schema)), "")
    return ""


def _section_words(field: str, schema: Schema) -> str:
    """Return the noun for a section, with the default of its first field as an example."""
    if not field:
        return "mapping of keys to values"
    section: Any = schema
    for name in re.sub(r"\[\d+\]", "", field).split("."):
        section = section.get("properties", {}).get(name, {})
        section = section.get("items", section)
        section = schema.get("$defs", {}).get(section.get("$ref", "").rpartition("/")[2], {})
    examples = {name: each["default"] for name, each in section.get("properties", {}).items() if "default" in each}
    if not examples:
        return "section of fields"
    name, default = next(iter(examples.items()))
    return f"section of fields, as in {{{name}: {plain(default) if isinstance(default, str) else excerpt(default)}}}"
