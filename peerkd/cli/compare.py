"""``peerkd compare``: several finished runs of a store side by side."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from peerkd.artifacts.open import open_store
from peerkd.cli.options import StorePlace
from peerkd.cli.wrapping import say
from peerkd.excerpt import plain_path
from peerkd.reporting.compare import tables
from peerkd.stages.compared_runs import compare_runs
from peerkd.stages.stored_runs import find_run, list_runs


def compare(place: StorePlace, names: Sequence[str], *, as_json: bool, as_csv: bool, page_file: Path | None) -> None:
    """Print what differs between the settings of runs and between their results.

    Args:
        place: The options that name the store.
        names: The names of the runs.
        as_json: Print JSON instead of text.
        as_csv: Print the comparison as CSV instead of text.
        page_file: The file to which the comparison is written as an HTML page; None for no page.

    Raises:
        ValueError: If the options name no store, a name does not name one run of the store, the runs cannot be
            compared, or the folder of the page does not exist.
        StoreUnavailableError: If the store does not answer.
    """

    def notify(text: str) -> None:
        typer.echo(f"peerkd: {text}", err=True)

    if as_json and as_csv:
        raise ValueError("json must not be given together with csv, which is another format.")
    if page_file is not None and not page_file.absolute().parent.is_dir():
        raise ValueError(
            f"html must be a file in a folder that exists, got {plain_path(page_file)}: create the folder first."
        )
    store = open_store(place.address, notify=notify)
    stored = list_runs(store, notify=notify)
    compared = compare_runs([find_run(stored, name) for name in names], store)
    comparison = compared.comparison
    if as_json:
        typer.echo(json.dumps(tables.to_json(comparison), indent=2, allow_nan=False))
    elif as_csv:
        typer.echo(tables.to_csv(comparison), nl=False)
    else:
        say(tables.terminal_summary(comparison))
    if page_file:
        page_file.write_text(compared.render_page(), encoding="utf-8")
        typer.echo(f"Page: {page_file}", err=True)
