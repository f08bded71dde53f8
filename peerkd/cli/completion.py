"""The values that a shell completes: presets, fields of a config, and the names of runs.

Each function is called while a person types. If a store cannot be read, there are no completions, and no error is
raised.
"""

import json
from collections.abc import Callable, Iterator, Mapping
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
    """Return the fields of a config as ``section.field=``, as ``--set`` takes them."""
    preset = next(iter(_pipeline(context).presets.values()))
    return [f"{name}=" for name in _names(json.loads(preset().to_json())) if name.startswith(incomplete)]


def runs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the names of the runs of a store in a folder, each with its pipeline and its state."""
    from peerkd.artifacts.open import S3_SCHEME, open_store
    from peerkd.errors import PeerKDError
    from peerkd.launch.invocations.files import LATEST
    from peerkd.stages.stored_runs import list_runs

    try:
        address = store_address(context.params.get("output"), context.params.get("store"))
        # A bucket is not listed, because its answers may take longer than a person waits.
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


def _names(values: Mapping[str, Any], *, prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
