"""The base of every config: frozen, strict, and with errors that are one sentence."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class StrictConfig(BaseModel):
    """A frozen config that refuses unknown keys and silent conversions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def to_json(self) -> str:
        """Return the canonical text: keys sorted, every default written out."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote, or what a person wrote in its form.

        Raises:
            ValueError: If a key is unknown or a value breaks a rule; the message is one sentence.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(_describe(error, text)) from error

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Read a mapping, for instance from YAML, by the same rules as JSON.

        Raises:
            ValueError: If a value is none that JSON has, a key is unknown, or a value breaks a rule.
        """
        try:
            text = json.dumps(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The config must hold only what JSON can hold, got {_shorten(str(values))}.") from error
        return cls.from_json(text)


def refuse_repeats(field: str, values: Sequence[object]) -> None:
    """Do nothing if all values differ; for the validators of sections.

    Raises:
        ValueError: If a value comes twice.
    """
    if len(set(values)) != len(values):
        raise ValueError(f"{field} must not repeat a value, got {list(values)}.")


def _describe(error: ValidationError, text: str) -> str:
    """Return one sentence that names field, rule and value of the first rule that is broken.

    One at a time, because a wrong key often breaks several rules at once and the rest is noise.
    """
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"The config must be JSON, got {_shorten(text)}."
    field = _path(first["loc"], json.loads(text))
    value = _shorten(first["input"])
    match first["type"]:
        case "extra_forbidden":
            return f"{field} is not a key of the config, got {value}."
        case "missing":
            return f"{field} is required."
        case "value_error":
            # Our own validators name field, rule and value themselves, relative to their section.
            message = str(first["ctx"]["error"])
            return f"{field}.{message}" if field else message
        case "union_tag_invalid":
            return f"{field}.kind must be one of {first['ctx']['expected_tags']}, got {first['ctx']['tag']}."
        case "union_tag_not_found":
            return f"{field}.kind is required, got {value}."
    rule = re.sub(r"^\w+ should ", "must ", first["msg"]).partition(" after validation")[0]
    return f"{field or 'The config'} {rule}, got {value}."


def _path(location: tuple[int | str, ...], values: object) -> str:
    """Write a location as ``sweep.alphas[2]``, without the tags that pydantic puts in for a section's kind."""
    path = ""
    for depth, part in enumerate(location):
        if isinstance(values, dict) and part not in values and depth < len(location) - 1:
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
    return path


def _shorten(value: object, *, limit: int = 80) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= limit else text[: limit - 3] + "..."
