"""A compiled pipeline file and its arguments, both checked before anything is sent."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peerkd.config.files import read_text
from peerkd.config.json_text import read_json
from peerkd.config.yaml_text import read_documents
from peerkd.excerpt import plain, plain_path

MAX_ARGUMENT_BYTES: Final = 10_000
"""The limit of Kubeflow Pipelines on all arguments of a run together, unless an operator has raised it."""

_TEXT: Final = "STRING"
_MAX_BYTES: Final = 2 * 1024 * 1024
_MAX_VALUES: Final = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A compiled pipeline."""

    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    """The parameters by name, each with parameterType, defaultValue and description."""

    images: frozenset[str]
    documents: tuple[Mapping[str, Any], ...]
    """The YAML documents of the file: the pipeline's specification and, if the file has a second document, settings for
    Kubernetes."""

    def with_image(self, image: str) -> "Package":
        """Return the pipeline with ``image`` as the image of all tasks.

        The image may be a reference with a digest, or a copy on a mirror.
        """
        document = _copied(self.documents[0])
        for executor in document["deploymentSpec"]["executors"].values():
            if "container" in executor:
                executor["container"]["image"] = image
        return _package((document, *self.documents[1:]))

    def with_claim(self, claim: str, folder: str) -> "Package":
        """Return the pipeline with a PersistentVolumeClaim mounted in all tasks.

        This also makes tasks mount volumes that they otherwise only pass on to the workers of their jobs.

        Args:
            claim: The name of the claim, in the namespace of the run.
            folder: The path at which the pods mount the claim.
        """
        document = _copied(self.documents[0])
        for component in document.get("components", {}).values():
            for passthrough in component.get("taskConfigPassthroughs", []):
                if passthrough["field"] == "KUBERNETES_VOLUMES":
                    passthrough["applyToTask"] = True
        settings = _copied(self.documents[1]) if len(self.documents) > 1 else {}
        executors = (
            settings.setdefault("platforms", {})
            .setdefault("kubernetes", {})
            .setdefault("deploymentSpec", {})
            .setdefault("executors", {})
        )
        mount = {"constant": claim, "mountPath": folder, "pvcNameParameter": {"runtimeValue": {"constant": claim}}}
        for name, executor in document["deploymentSpec"]["executors"].items():
            if "container" in executor:
                executors.setdefault(name, {}).setdefault("pvcMount", []).append(mount)
        return _package((document, settings))

    def without_cache(self) -> "Package":
        """Return the pipeline with the cache of Kubeflow Pipelines disabled for all tasks."""
        document = _copied(self.documents[0])
        for component in (document["root"], *document.get("components", {}).values()):
            for task in component.get("dag", {}).get("tasks", {}).values():
                task.pop("cachingOptions", None)
        return _package((document, *self.documents[1:]))


def read_package(path: Path) -> Package:
    """Read a file that ``python -m pipelines.compile`` or ``kfp dsl compile`` wrote.

    Raises:
        ValueError: If the file cannot be read, or is not a compiled pipeline.
    """
    text = read_text(path, field="pipeline", max_bytes=_MAX_BYTES)
    try:
        documents = tuple(read_documents(text, max_values=_MAX_VALUES))
    except ValueError as error:
        raise ValueError(f"pipeline must be YAML, got {plain_path(path)}: {error}.") from error
    try:
        return _package(documents)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"pipeline must be a compiled pipeline, such as pipelines/jointkd.yaml, got {plain_path(path)}."
        ) from error


def read_arguments(package: Package, pairs: Iterable[str]) -> dict[str, Any]:
    """Parse ``key=value`` pairs, and return the arguments with the types that the pipeline declares.

    The value of a text parameter stays text: ``num_workers=2`` is sent as "2". The command ``kfp run create`` would
    send a number, which the server refuses.

    Raises:
        ValueError: If a pair has no key, a key is unknown or comes twice, a value does not have the declared type, a
            parameter without default is missing, or the arguments exceed a limit of the server.
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ValueError(f"An argument must have the form key=value, got {plain(pair)}.")
        if name not in package.parameters:
            raise ValueError(
                f"{plain(name)} is not a parameter of {package.name}, which has {', '.join(package.parameters)}, "
                f"got {plain(text)}."
            )
        if name in given:
            raise ValueError(f"{name} must be given once, got {plain(given[name])} and {plain(text)}.")
        given[name] = _value(name, text, kind=package.parameters[name]["parameterType"])
    for name, parameter in package.parameters.items():
        if name not in given and "defaultValue" not in parameter and not parameter.get("isOptional"):
            raise ValueError(f"{name} is required.")
    _check_limits_of_server(given)
    return given


def texts(package: Package, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the value of every text parameter by name: the argument if it is given, and else the default."""
    return {
        name: str(arguments.get(name, parameter.get("defaultValue", "")))
        for name, parameter in package.parameters.items()
        if parameter["parameterType"] == _TEXT
    }


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def _package(documents: tuple[Mapping[str, Any], ...]) -> Package:
    spec = documents[0]
    executors = spec["deploymentSpec"]["executors"].values()
    return Package(
        name=spec["pipelineInfo"]["name"],
        parameters=spec["root"].get("inputDefinitions", {}).get("parameters", {}),
        images=frozenset(executor["container"]["image"] for executor in executors if "container" in executor),
        documents=documents,
    )


def _value(name: str, text: str, *, kind: str) -> Any:
    if kind == _TEXT:
        return text
    try:
        value = read_json(text)
        # Python reads NaN and Infinity, which JSON does not have.
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{name} must be JSON, because its type is {kind}, got {plain(text)}: {error}.") from error
    fits = {
        "NUMBER_INTEGER": isinstance(value, int) and not isinstance(value, bool),
        "NUMBER_DOUBLE": isinstance(value, int | float) and not isinstance(value, bool),
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }
    if not fits.get(kind, True):
        raise ValueError(f"{name} must be of the type {kind}, got {plain(text)}.")
    return value


def _check_limits_of_server(arguments: Mapping[str, Any]) -> None:
    num_bytes = len(json.dumps(arguments, ensure_ascii=False).encode())
    if num_bytes > MAX_ARGUMENT_BYTES:
        largest = max(arguments, key=lambda name: len(str(arguments[name])))
        raise ValueError(
            f"The arguments must have at most {MAX_ARGUMENT_BYTES:,} bytes together, got {num_bytes:,}; "
            f"the largest is {largest}."
        )
    for name, value in arguments.items():
        beyond = next((character for character in str(value) if ord(character) > 0xFFFF), None)
        if beyond:
            raise ValueError(
                f"{name} must not contain emoji or similar characters, which the server refuses, got {beyond!a}."
            )
