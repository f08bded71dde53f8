"""``peerkd note``: a note of a person on a run."""

import typer

from peerkd.cli.options import StorePlace
from peerkd.cli.runs import runs_of
from peerkd.stages.notes import write_note
from peerkd.stages.stored_runs import find_run


def note(place: StorePlace, run_text: str, text: str | None, *, is_deleted: bool) -> None:
    """Write a note on a run, which replaces an earlier one, or delete the note.

    Args:
        place: The options that name the store.
        run_text: The name of the run.
        text: The note.
        is_deleted: Whether the note is deleted.

    Raises:
        ValueError: If the options name no store, the text does not name one run of the store, the note is not one short
            line, or there is not exactly one of a note and the wish to delete it.
        StoreUnavailableError: If the store cannot be read or written.
    """
    if (text is None) is not is_deleted:
        raise ValueError("TEXT must be given, or else --delete, which deletes the note.")
    store, runs = runs_of(place)
    run = find_run(runs, run_text)
    write_note(run.key, text or "", store)
    done = "the note is deleted; its text stays in the store until 'peerkd clean'"
    typer.echo(f"{run.name}: {done if is_deleted else 'noted'}")
