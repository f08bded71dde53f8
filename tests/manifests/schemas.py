"""JSON schemas of all objects of an API server, from its OpenAPI description, for an offline validator."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_GROUP = "x-kubernetes-group-version-kind"


def write_schemas(openapi: Mapping[str, Any], folder: Path) -> int:
    """Write a file for each kind, with the names that kubeconform expects, and return their number.

    Args:
        openapi: The answer of the server to /openapi/v2.
        folder: The folder for ``<group>_<version>_<kind>.json``, and for one file with all definitions.
    """
    definitions = {name: _strict(each) for name, each in openapi["definitions"].items()}
    (folder / "definitions.json").write_text(json.dumps({"definitions": definitions}), encoding="utf-8")
    num_files = 0
    for name, definition in openapi["definitions"].items():
        for each in definition.get(_GROUP, []):
            file = "_".join((each["group"], each["version"], each["kind"].lower())).strip("_") + ".json"
            reference = {"$ref": f"{(folder / 'definitions.json').as_uri()}#/definitions/{name}"}
            (folder / file).write_text(json.dumps(reference), encoding="utf-8")
            num_files += 1
    return num_files


def _strict(schema: Any) -> Any:
    """Return a schema that forbids unnamed fields, and accepts both types of Kubernetes that are numbers or strings."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    strict = {
        key: {name: _strict(each) for name, each in value.items()} if key == "properties" else _strict(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes-")
    }
    if "properties" in strict and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict
