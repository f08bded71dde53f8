"""The message for a key that a config does not have, with the keys that the user may have meant."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from peerkd.excerpt import excerpt, plain
from peerkd.suggestions import MIN_SIMILARITY, either, near, nearest, similarity

Schema: TypeAlias = Mapping[str, Any]
Remark: TypeAlias = Callable[[str], str]
"""A function that says where else the dotted name of a key exists, such as ``it belongs to the pipeline pcl``. It
returns an empty text if there is nothing to say."""

_BONUS_FOR_SIBLINGS: Final = 0.2
"""The number that is added to the similarity of a known key if it is in the same section as the unknown key."""

_MIN_SIMILARITY_ELSEWHERE: Final = 0.8
"""The similarity above which a key of another section is suggested."""


def unknown_key_text(field: str, value: object, kind: object, schema: Schema, remark: Remark) -> str:
    """Return the message for an unknown key.

    Args:
        field: The dotted name of the key.
        value: The value of the key.
        kind: The kind of the section, if the section has kinds.
        schema: The JSON schema of the config.
        remark: A function that returns a remark on the unknown key, such as the pipeline to which the key belongs.
    """
    return f"{plain(field)} is not a key of {_home(field, value, kind, schema, remark)}, got {excerpt(value)}."


def innermost(field: str, value: object, schema: Schema) -> tuple[str, ...]:
    """Return the names of the keys that lead from an unknown section to its only value.

    ``--set training.epochs=3`` gives an unknown section with one value. The message is then about ``training.epochs``,
    because this is what the person wrote. If the section has several values, or its name resembles a key of the config,
    the message is about the section, and no names are returned.
    """
    section, _, name = field.rpartition(".")
    inner: list[str] = []
    siblings = [known.rpartition(".")[2] for known in all_fields(schema) if known.rpartition(".")[0] == section]
    if near(name, siblings):
        return ()
    while isinstance(value, Mapping) and len(value) == 1:
        ((key, value),) = value.items()
        inner.append(str(key))
    return () if isinstance(value, Mapping) else tuple(inner)


def suggested_fields(field: str, value: object, schema: Schema) -> list[str]:
    """Return the dotted names of the fields that the user may have meant by an unknown one.

    Args:
        field: The dotted name of the unknown field.
        value: The value of the unknown field. If it is a mapping, only sections are suggested, and otherwise only
            fields. There is one exception: for a text, sections that have a field ``kind`` are suggested too, because a
            person may write ``loss=kl`` in place of ``loss.kind=kl``.
        schema: The JSON schema of the config.
    """
    # A person may have written the position of an entry of a list, as in sweep.alphas[0].
    section, _, name = re.sub(r"\[\d*\]$", "", field).rpartition(".")
    names = list(dict.fromkeys(all_fields(schema)))
    sections = {known.rpartition(".")[0] for known in names}
    similarities: dict[str, float] = {}
    for known in names:
        takes_text = isinstance(value, str) and f"{known}.kind" in names
        if takes_text or (known in sections) == isinstance(value, Mapping):
            home, _, last = known.rpartition(".")
            is_sibling = home == re.sub(r"\[\d+\]", "", section)
            alike = similarity(name, last)
            # The name of a sibling has the positions in lists that the person has written.
            shown = f"{section}.{last}" if is_sibling and section else known
            if alike >= (MIN_SIMILARITY if is_sibling else _MIN_SIMILARITY_ELSEWHERE):
                similarities[shown] = alike + (_BONUS_FOR_SIBLINGS if is_sibling else 0)
    return nearest(similarities)


def all_fields(schema: Schema) -> Iterator[str]:
    """Yield the dotted names of all fields and sections of a schema, for every kind of each section."""
    yield from _names("", schema, schema.get("$defs", {}))


def fields_by_kind(section: str, schema: Schema) -> dict[str, Mapping[str, Any]]:
    """Return the fields that a section may have, for each value of its field ``kind``.

    The section must have this field.
    """
    definitions = schema["$defs"]
    for name in section.split("."):
        field = schema["properties"][name]
        options = [definitions[each["$ref"].rpartition("/")[2]] for each in field.get("oneOf", [field])]
        schema = options[0]
    return {option["properties"]["kind"]["const"]: option["properties"] for option in options}


def syntax_reminder(keys: Iterable[object]) -> str:
    """Return a reminder of the syntax of YAML if a key contains a colon: in ``{kind:kl}``, the key is ``kind:kl``."""
    return " (YAML requires a space after each colon)" if any(":" in str(key) for key in keys) else ""


def _home(field: str, value: object, kind: object, schema: Schema, remark: Remark) -> str:
    """Return the end of the message for an unknown key: the part of the config that lacks the key, and a suggestion.

    The part is the config or the kind of a section. The message begins with "... is not a key of".
    """
    names = list(dict.fromkeys(all_fields(schema)))
    plain_field = re.sub(r"\[\d+\](?=\.)", "", field)
    section, _, name = plain_field.partition("[")[0].rpartition(".")
    if plain_field in names and kind is None:
        return f"the config in this form (write {name} inside {section})"
    if plain_field in names:
        others = [each for each, fields in fields_by_kind(section, schema).items() if name in fields]
        return f"the kind {kind} (it belongs to {' and '.join(others)})"
    if reminder := syntax_reminder([name]):
        return f"the config{reminder}"
    meant = suggested_fields(field, value, schema)
    question = f"did you mean {either(meant)}?" if meant else ""
    remarks = "; ".join(filter(None, (remark(plain_field), question)))
    return f"the config ({remarks})" if remarks else "the config"


def _names(section: str, schema: Schema, definitions: Schema) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        full = f"{section}.{name}" if section else name
        yield full
        for each in [field, field.get("items", {}), *field.get("oneOf", ())]:
            if "$ref" in each:
                yield from _names(full, definitions[each["$ref"].rpartition("/")[2]], definitions)
