"""The defaults of all configs on which keys depend, as ``key_defaults.json`` records them.

``python -m tests.unit.artifacts.key_defaults`` adds new fields to the file. While ``NUMERICS_VERSION`` is the same, it
changes and removes no existing field. After the version has been raised, it writes all fields again.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel

from peerkd.artifacts.keys import NUMERICS_VERSION
from peerkd.config.pipelines import PIPELINES

FILE: Final = Path(__file__).with_suffix(".json")

_IN_NO_KEY: Final = ("name", "compute")
"""Fields and sections that no key contains."""


def defaults() -> dict[str, Any]:
    """Return the default of each field that has one, by the pipeline and the dotted name of the field."""
    return {
        name: value
        for pipeline in PIPELINES.values()
        for name, value in _fields(pipeline.config, None, pipeline.name)
        if name.split(".")[1] not in _IN_NO_KEY
    }


def recorded() -> dict[str, Any]:
    """Return the content of the file."""
    values: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return values


def _fields(model: type[BaseModel], default: BaseModel | None, path: str) -> Iterator[tuple[str, Any]]:
    dumped = {} if default is None else default.model_dump(mode="json")
    for name, field in model.model_fields.items():
        here = f"{path}.{name}"
        usual = field.get_default(call_default_factory=True) if default is None else getattr(default, name)
        for inner in _models(field.annotation):
            if isinstance(usual, inner):
                yield from _fields(inner, usual, here)
            else:
                # If a section has several kinds, the defaults of each kind apply when it is chosen. An entry of a list
                # has no kind.
                kind = inner.model_fields["kind"].default if "kind" in inner.model_fields else ""
                yield from _fields(inner, None, f"{here}[{kind}]")
        if not isinstance(usual, BaseModel) and not field.is_required():
            yield here, dumped.get(name, json.loads(json.dumps(usual, default=_dumped)))


def _dumped(entry: BaseModel) -> dict[str, Any]:
    """Return an entry of a list of configs as a value for JSON."""
    return entry.model_dump(mode="json")


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the classes of configs that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


if __name__ == "__main__":
    before = recorded() if FILE.exists() else {"numerics_version": None, "defaults": {}}
    kept = before["defaults"] if before["numerics_version"] == NUMERICS_VERSION else {}
    lines = (f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in (defaults() | kept).items())
    text = ",\n".join(lines)
    FILE.write_text(
        f'{{\n  "numerics_version": {NUMERICS_VERSION},\n  "defaults": {{\n{text}\n  }}\n}}\n', encoding="utf-8"
    )
