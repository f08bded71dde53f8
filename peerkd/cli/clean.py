"""``peerkd clean``: it deletes runs, and everything in a store that no run needs."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from peerkd.artifacts.cleaning import unused
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.open import S3_SCHEME
from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.options import StorePlace
from peerkd.errors import WorkspaceBusyError
from peerkd.launch.invocations.files import list_invocations
from peerkd.stages.clean_store import Cleaning, plan_cleaning
from peerkd.stages.stored_runs import find_run, list_runs
from peerkd.wording import format_bytes, plural


def clean(place: StorePlace, texts: Sequence[str], *, has_unfinished: bool, is_confirmed: bool, as_json: bool) -> None:
    """Print what would be deleted, ask, and delete it.

    Args:
        place: The options that name the store.
        texts: The names of the runs to delete.
        has_unfinished: Whether all unfinished runs are deleted too.
        is_confirmed: Whether the user has agreed beforehand by ``--yes``.
        as_json: Print what would be deleted as JSON, without a question. The command then deletes only with ``--yes``.

    Raises:
        ValueError: If the store is not a folder, or a text does not name one run of the store.
        ArtifactCorruptError: If a manifest is damaged.
        WorkspaceBusyError: If a run is going on in the store, or the store has changed since the question.
    """
    if place.address.startswith(S3_SCHEME):
        raise ValueError(
            f"store must be a folder for 'peerkd clean', got {place.address}: it cannot be seen whether a run uses a "
            "store in S3. Delete objects of S3 with a client of S3, when no run is going on."
        )
    root = Path(place.address)
    store = FilesystemStore(root)
    with unused(root):
        cleaning = _plan(root, store, texts, has_unfinished=has_unfinished)
        if as_json:
            typer.echo(json.dumps({**cleaning.to_json(), "is_deleted": is_confirmed}, indent=2))
        else:
            for line in lines(cleaning):
                typer.echo(line)
    if cleaning.is_empty or not (is_confirmed or (not as_json and _agrees())):
        return
    # The lock is not held while a person thinks, so another run may have begun and ended.
    with unused(root):
        if _plan(root, store, texts, has_unfinished=has_unfinished).to_json() != cleaning.to_json():
            raise WorkspaceBusyError(f"{root} has changed since the question, so nothing is deleted; ask again.")
        cleaning.delete()
    if not as_json:
        typer.echo(f"Deleted: {format_bytes(cleaning.num_bytes)}.")


def lines(cleaning: Cleaning) -> Iterator[str]:
    """Yield the lines that say what would be deleted, how much it is, and what is kept."""
    kept = {key: run for run in cleaning.kept for key in run.artifacts}
    kept_bytes = sum(entry.num_bytes for key, run in kept.items() for entry in run.artifacts[key].files.values())
    remaining = f"Kept: {plural(len(cleaning.kept), 'run')} with {format_bytes(kept_bytes)}."
    if cleaning.is_empty:
        yield f"Nothing in {cleaning.root} can be deleted. {remaining}"
        return
    yield f"To be deleted from {cleaning.root}:"
    for run in cleaning.runs:
        yield f"  the run {run.name} ({run.state})"
    if cleaning.artifacts:
        yield f"  {plural(len(cleaning.artifacts), 'artifact')}: {format_bytes(sum(cleaning.artifacts.values()))}"
        yield from (f"    {key}: {format_bytes(num_bytes)}" for key, num_bytes in cleaning.artifacts.items())
    if cleaning.leftovers:
        size = format_bytes(sum(cleaning.leftovers.values()))
        yield f"  {plural(len(cleaning.leftovers), 'folder')} of unfinished or damaged artifacts: {size}"
        yield from (f"    {name}: {format_bytes(num_bytes)}" for name, num_bytes in cleaning.leftovers.items())
    if cleaning.invocations:
        yield f"  the logs of {plural(len(cleaning.invocations), 'invocation')}"
    yield f"In all {format_bytes(cleaning.num_bytes)}. {remaining}"


def _plan(root: Path, store: ArtifactStore, texts: Sequence[str], *, has_unfinished: bool) -> Cleaning:
    runs = list_runs(
        store, notify=lambda text: typer.echo(f"peerkd: {text}", err=True), invocations=list_invocations(root)
    )
    chosen = [find_run(runs, text) for text in texts]
    return plan_cleaning(root, store, runs, chosen=chosen, has_unfinished=has_unfinished)


def _agrees() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        typer.echo("peerkd: nothing is deleted, because nobody can be asked; repeat the command with --yes.", err=True)
        return False
    return typer.confirm("Delete this?", err=True)
