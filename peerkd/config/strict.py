"""The base class of every config: frozen, strict, and with errors of one sentence."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from peerkd.config.field_descriptions import field_docstrings
from peerkd.config.json_text import read_json
from peerkd.config.unknown_keys import Remark
from peerkd.config.violations import ConfigError, broken_rules
from peerkd.excerpt import excerpt, plain


class StrictConfig(BaseModel):
    """A frozen config that refuses unknown keys and does not convert values silently."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # A field whose name is a keyword of Python has an alias without the underscore.
        serialize_by_alias=True,
    )

    counts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The fields that give the length of a list elsewhere in the config, such as the number of peers. The mapping has
    the dotted name of each such field, with the dotted names of the lists whose length the field may give. If the input
    omits the field, its value is the length of the first of these lists that has at least 2 entries."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema, in which the docstring of each field is its description."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        docstrings = field_docstrings(cls)
        for name, field in cls.model_fields.items():
            of_field = properties.get(field.alias or name)
            if of_field is not None and name in docstrings:
                of_field.setdefault("description", docstrings[name])
        return schema

    @property
    def studies(self) -> tuple[Self, ...]:
        """The configs of the studies that a run of this config consists of, in order.

        A config with several seeds has one study for each seed. Each study has a report of its own. A run of one of the
        returned configs alone makes the same study.
        """
        return (self,)

    def to_json(self) -> str:
        """Return the config as canonical JSON, with sorted keys and all defaults."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a config that ``to_json`` or the user wrote as JSON.

        Raises:
            ValueError: If a key is unknown or repeated, or a value breaks a rule. The message names all such keys and
                values.
        """
        try:
            values = read_json(text)
        except ValueError as error:
            raise ValueError(f"The config must be JSON, got {excerpt(text)}: {error}.") from error
        return cls.from_mapping(values)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, remark: Remark = lambda _: "") -> Self:
        """Read a mapping, for instance from YAML, by the same rules as JSON.

        Args:
            values: The values. Missing keys have their defaults.
            remark: A function that returns a remark on an unknown key, given the dotted name of the key.

        Raises:
            ValueError: If JSON cannot represent a value.
            ConfigError: If keys are unknown, or values break rules.
        """
        for field, lists in cls.counts.items():
            for entries in lists:
                values = _with_count(values, field.split("."), _find(values, entries.split(".")))
        try:
            text = json.dumps(values, ensure_ascii=False)
            # JSON can escape half of a surrogate pair, which is not a character.
            text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"The config must contain only values that JSON can represent, got {excerpt(str(values))}."
            ) from error
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(broken_rules(error, values, cls.model_json_schema(), remark=remark)) from error


def _find(values: Any, path: Sequence[str]) -> Any:
    """Return the value at a path of keys, or None if a section or the value is missing."""
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _with_count(values: Mapping[str, Any], path: Sequence[str], entries: Any) -> Mapping[str, Any]:
    """Return a mapping in which the field at ``path`` is the length of ``entries``.

    ``path`` consists of a section and a name. The mapping is returned unchanged if the field has a value already, or
    ``entries`` is no list of at least 2 entries.
    """
    section, name = path
    inner = values.get(section, {}) if isinstance(values, Mapping) else None
    if not isinstance(entries, list) or len(entries) < 2 or not isinstance(inner, Mapping) or name in inner:
        return values
    return {**values, section: {**inner, name: len(entries)}}


def refuse_repeats(field: str, values: Sequence[object]) -> None:
    """Check that all values of a field differ.

    Raises:
        ValueError: If two values are equal.
    """
    if len(set(values)) != len(values):
        raise ValueError(f"{field} must not repeat a value, got {plain(list(values))}.")
