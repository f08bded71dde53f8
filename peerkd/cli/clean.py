"""``peerkd clean``: it deletes runs, and everything in a store that no run needs."""

import json
import sys
from collections.abc import Iterator, Sequence

import typer

from peerkd.artifacts.cleaning import StoreCleaner
from peerkd.artifacts.open import open_cleaner, open_store
from peerkd.cli.options import StorePlace
from peerkd.cli.wrapping import say
from peerkd.errors import WorkspaceBusyError
from peerkd.stages import clean_store
from peerkd.stages.clean_store import Cleaning, plan_cleaning
from peerkd.stages.open_runs import invocations_of
from peerkd.stages.stored_runs import find_run, list_runs
from peerkd.wording import format_bytes, format_duration, plural


def clean(place: StorePlace, texts: Sequence[str], *, has_unfinished: bool, is_confirmed: bool, as_json: bool) -> None:
    """Print what would be deleted, ask, and delete it.

    Args:
        place: The options that name the store.
        texts: The names of the runs to delete.
        has_unfinished: Whether all unfinished runs are deleted too.
        is_confirmed: Whether the user has agreed beforehand by ``--yes``.
        as_json: Print what would be deleted as JSON, without asking. The command then deletes only with ``--yes``.

    Raises:
        ValueError: If the options name no store, or a text does not name one run of the store.
        ArtifactCorruptError: If a manifest is damaged.
        WorkspaceBusyError: If a run is in progress in the folder, a named run may be in progress in a store in S3, or
            the store has changed since the question.
        StoreUnavailableError: If the store does not answer.
    """
    address = place.address
    with _open_cleaner(address).unused():
        cleaning = _plan(address, texts, has_unfinished=has_unfinished)
        if as_json:
            typer.echo(json.dumps({**cleaning.to_json(), "is_deleted": is_confirmed}, indent=2))
        else:
            for line in lines(cleaning):
                say(line)
    if cleaning.is_empty or not (is_confirmed or (not as_json and _agrees())):
        return
    # The lock is not held while the user thinks, so another run may have begun and ended. A store in S3 has no lock.
    with _open_cleaner(address).unused():
        if _plan(address, texts, has_unfinished=has_unfinished).to_json() != cleaning.to_json():
            raise WorkspaceBusyError(f"{address} has changed since the question, so nothing is deleted; ask again.")
        cleaning.delete()
    if not as_json:
        typer.echo(f"Deleted: {format_bytes(cleaning.num_bytes)}.")


def lines(cleaning: Cleaning) -> Iterator[str]:
    """Yield the lines that say what would be deleted, how much it is, and what is kept."""
    kept = {key: run for run in cleaning.kept for key in run.artifacts}
    kept_bytes = sum(entry.num_bytes for key, run in kept.items() for entry in run.artifacts[key].files.values())
    remaining = f"Kept: {plural(len(cleaning.kept), 'run')} with {format_bytes(kept_bytes)}."
    if cleaning.recent:
        what = plural(len(cleaning.recent), "artifact or workspace", "artifacts or workspaces")
        remaining += (
            f" Besides, {what} that no run is known to need, because a run that began within the last "
            f"{format_duration(clean_store.RECENT_SECONDS)} may need it."
        )
    if cleaning.is_empty:
        yield f"Nothing in {cleaning.cleaner.address} can be deleted. {remaining}"
        return
    yield f"To be deleted from {cleaning.cleaner.address}:"
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


def _plan(address: str, texts: Sequence[str], *, has_unfinished: bool) -> Cleaning:
    store = open_store(address, notify=_notify)
    invocations = invocations_of(address)
    runs = list_runs(store, notify=_notify, invocations=invocations)
    return plan_cleaning(
        _open_cleaner(address),
        store,
        runs,
        chosen=[find_run(runs, text) for text in texts],
        has_unfinished=has_unfinished,
        invocations=invocations,
    )


def _open_cleaner(address: str) -> StoreCleaner:
    return open_cleaner(address, notify=_notify)


def _notify(text: str) -> None:
    typer.echo(f"peerkd: {text}", err=True)


def _agrees() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        typer.echo("peerkd: nothing is deleted, because nobody can be asked; repeat the command with --yes.", err=True)
        return False
    return typer.confirm("Delete this?", err=True)
