"""The values that a shell completes: presets, fields of a config, and the names of runs.

Each function is called while the user types. If a store cannot be read, there are no completions, and no error is
raised.
"""

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import typer

from peerkd.cli.places import store_address

if TYPE_CHECKING:
    from peerkd.config.pipelines import Pipeline
    from peerkd.config.strict import StrictConfig


def one_of(*names: str) -> Callable[[str], list[str]]:
    """Return a function that completes one of the names."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def presets(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the presets of the pipeline of a command, each with its description."""
    return [
        (name, (preset.__doc__ or "").splitlines()[0])
        for name, preset in _pipeline(context).presets.items()
        if name.startswith(incomplete)
    ]


def pipelines(incomplete: str) -> list[str]:
    """Return the names of the pipelines."""
    from peerkd.config.pipelines import PIPELINES

    return [name for name in PIPELINES if name.startswith(incomplete)]


def fields(context: typer.Context, incomplete: str) -> list[str]:
    """Return the fields of a config as ``section.field=``, as ``--set`` takes them, or the values after the ``=``."""
    name, separator, value = incomplete.partition("=")
    if separator:
        schema = _pipeline(context).config.model_json_schema()
        values = dict.fromkeys(_values(schema, name.split("."), schema.get("$defs", {})))
        return [f"{name}={each}" for each in values if each.startswith(value)]
    preset = next(iter(_pipeline(context).presets.values()))
    return [f"{name}=" for name in _names(json.loads(preset().to_json())) if name.startswith(incomplete)]


@contextmanager
def completing_for_bash(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Undo the splitting of words at ``=`` by bash for a completion in the ``with`` block.

    The completion sees whole words. Of each completed word, only the part after the ``=`` is printed.
    """
    if environment.get("_PEERKD_COMPLETE") != "complete_bash":
        yield
        return
    start = _join_words(environment)
    told = io.StringIO()
    try:
        with redirect_stdout(told):
            yield
    finally:
        sys.stdout.write("".join(line.removeprefix(start) for line in told.getvalue().splitlines(keepends=True)))


def _join_words(environment: MutableMapping[str, str]) -> str:
    """Join the words in ``environment`` that bash has split at ``=``.

    Return the beginning of the word under the cursor, up to and including its last ``=``. Bash expects completions
    without this beginning.
    """
    words, cursor = environment["COMP_WORDS"].split(), int(environment["COMP_CWORD"])
    joined: list[str] = []
    num_joined = 0
    for index, word in enumerate(words):
        # An option such as --name=value stays split, because it is completed as bash expects it.
        if index > 1 and "=" in (word, words[index - 1]) and not joined[-1].startswith("-"):
            joined[-1] += word
            num_joined += index <= cursor
        else:
            joined.append(word)
    cursor -= num_joined
    environment["COMP_WORDS"], environment["COMP_CWORD"] = " ".join(joined), str(cursor)
    begun = joined[cursor] if cursor < len(joined) else ""
    return begun[: begun.rfind("=") + 1]


def runs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the names of the runs of a store in a folder, each with its pipeline and its state."""
    from peerkd.artifacts.open import S3_SCHEME, open_store
    from peerkd.errors import PeerKDError
    from peerkd.launch.invocations.files import LATEST
    from peerkd.stages.stored_runs import list_runs

    try:
        address = store_address(context.params.get("output"), context.params.get("store"))
        # A bucket is not listed, because its responses may take longer than the user waits.
        found = [] if address.startswith(S3_SCHEME) else list_runs(open_store(address), notify=lambda _: None)
    except (ValueError, PeerKDError):
        return []
    named = [(run.name, run.headline or run.pipeline) for run in found]
    newest = [(LATEST, f"the run that began last, {named[0][0]}")] if named else []
    return [(name, text) for name, text in (*newest, *named) if name.startswith(incomplete)]


def _pipeline(context: typer.Context) -> "Pipeline[StrictConfig]":
    """Return the pipeline that a command line names as a command, or with ``--pipeline``."""
    from peerkd.config.pipelines import JOINTKD, PIPELINES

    named = (context.info_name or "", context.params.get("pipeline") or "")
    return next((PIPELINES[name] for name in named if name in PIPELINES), JOINTKD)


def _values(schema: Mapping[str, Any], names: list[str], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values that a field can have, if its schema lists them.

    Args:
        schema: The schema of the field, or of a section that contains it.
        names: The names that lead from ``schema`` to the field.
        definitions: The definitions that schemas refer to.
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    options = [option for word in ("oneOf", "anyOf", "allOf") for option in schema.get(word, [])]
    for option in options:
        yield from _values(option, names, definitions)
    if names:
        field = schema.get("properties", {}).get(names[0])
        if field is not None:
            yield from _values(field, names[1:], definitions)
        return
    constant = [schema["const"]] if "const" in schema else []
    yield from (each for each in (*constant, *schema.get("enum", [])) if isinstance(each, str))
    if schema.get("type") == "boolean":
        yield from ("true", "false")


def _names(values: Mapping[str, Any], *, prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
