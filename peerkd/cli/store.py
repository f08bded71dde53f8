"""``peerkd store``: what an artifact store holds, whether it is whole, and what to do about an artifact that is not."""

from typing import Annotated

import typer

from peerkd.cli.command import StrictTyper

store_app = StrictTyper(help="Look after an artifact store.", no_args_is_help=True, rich_markup_mode=None)

Place = Annotated[
    str,
    typer.Option("--store", metavar="PLACE", help="The store: the folder of --output, or s3://bucket/prefix."),
]


@store_app.command("check")
def check(
    place: Place,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Artifacts to check. Without any, all.")
    ] = None,
) -> None:
    """Read every file of every artifact and compare it with its manifest. Exit code 1 if any is damaged."""
    from peerkd.artifacts.open import open_store
    from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError

    store = open_store(place, tell=_tell)
    keys = keys or store.keys()
    if not keys:
        raise ArtifactNotFoundError(f"{place} has no artifacts.")
    num_damaged = 0
    for key in keys:
        try:
            manifest = store.verify(key)
            num_bytes = sum(entry.num_bytes for entry in manifest.files.values())
            typer.echo(f"ok       {key}: {len(manifest.files)} files, {num_bytes} bytes")
        except ArtifactCorruptError as error:
            num_damaged += 1
            typer.echo(f"DAMAGED  {error}")
    typer.echo(f"{len(keys)} artifacts, {num_damaged} damaged.")
    raise typer.Exit(1 if num_damaged else 0)


@store_app.command("set-aside")
def set_aside(
    place: Place, keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="As in distill_pairs/0a1b2c3d.")]
) -> None:
    """Move a damaged artifact to KEY.damaged-N. Nothing is deleted, and the next run makes the artifact again."""
    from peerkd.artifacts.open import open_store

    store = open_store(place, tell=_tell)
    for key in keys:
        typer.echo(f"{key} is now {store.set_aside(key)}")


@store_app.command("seal")
def seal(place: Place) -> None:
    """Check the files of artifacts of earlier versions, whose manifests have no digest, and add the digest."""
    from peerkd.artifacts.open import open_store

    store = open_store(place, tell=_tell)
    keys = store.keys()
    typer.echo(f"Manifests sealed: {sum(map(store.seal, keys))} of {len(keys)}.")


@store_app.command("clear")
def clear(place: Place) -> None:
    """Delete what killed workers left of published artifacts: files of their making that nobody uses any more."""
    from peerkd.artifacts.open import open_store

    store = open_store(place, tell=_tell)
    keys = store.keys()
    typer.echo(f"Files deleted: {sum(map(store.clear_away, keys))}.")


def _tell(text: str) -> None:
    typer.echo(f"peerkd: {text}", err=True)
