"""``peerkd store``: check the artifacts of a store, set damaged ones aside, and delete files of killed workers."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from peerkd.cli.command import StrictTyper
from peerkd.cli.options import AsJson

if TYPE_CHECKING:
    from peerkd.artifacts.store import ArtifactStore

store_app = StrictTyper(
    help="Check and repair the artifacts of a store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Place = Annotated[
    str,
    typer.Option(
        "--store", metavar="ADDRESS", help="The artifact store: a folder, or an address such as s3://bucket/prefix."
    ),
]


@store_app.command("check")
def check(
    place: Place,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY]...", help="Keys of the artifacts to check. Default: all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every file of the artifacts with their manifests. The exit code is 1 if an artifact is damaged.

    Example: peerkd store check --store runs
    """
    from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError

    store = _open(place)
    keys = keys or store.keys()
    if not keys:
        raise ArtifactNotFoundError(f"{place} has no artifacts.")
    num_damaged = 0
    checked = []
    for key in keys:
        try:
            manifest = store.verify(key)
            num_bytes = sum(entry.num_bytes for entry in manifest.files.values())
            checked.append({"key": key, "num_files": len(manifest.files), "num_bytes": num_bytes, "damage": None})
            line = f"ok       {key}: {len(manifest.files)} files, {num_bytes} bytes"
        except ArtifactCorruptError as error:
            num_damaged += 1
            checked.append({"key": key, "num_files": None, "num_bytes": None, "damage": str(error)})
            line = f"DAMAGED  {error}"
        if not as_json:
            # A line is printed at once, because the next artifact may be large.
            typer.echo(line)
    if as_json:
        typer.echo(json.dumps(checked, indent=2))
    else:
        typer.echo(f"{len(keys)} artifacts, {num_damaged} damaged.")
    raise typer.Exit(1 if num_damaged else 0)


@store_app.command("set-aside")
def set_aside(
    place: Place,
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY...", help="Keys of the artifacts to rename, such as distill_pairs/0123456789abcdef."
        ),
    ],
) -> None:
    """Rename a damaged artifact to KEY.damaged-N. Nothing is deleted, and the next run computes the artifact again.

    Example: peerkd store set-aside --store runs distill_pairs/0123456789abcdef
    """
    store = _open(place)
    for key in keys:
        typer.echo(f"{key} is now {store.set_aside(key)}")


@store_app.command("clear")
def clear(place: Place) -> None:
    """Delete files that killed workers have left behind. Artifacts and unfinished work are kept.

    Example: peerkd store clear --store runs
    """
    store = _open(place)
    typer.echo(f"Files deleted: {sum(map(store.clear_away, store.keys()))}.")


def _open(place: str) -> "ArtifactStore":
    # Imported here so that --help does not load a store.
    from peerkd.artifacts.open import open_store

    return open_store(place, notify=lambda text: typer.echo(f"peerkd: {text}", err=True))
