"""``peerkd runs``, ``peerkd show`` and ``peerkd open``: the runs of a store, and the results of one run."""

import json
import textwrap
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import typer

from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.options import StorePlace
from peerkd.cli.resuming import how_to_continue
from peerkd.cli.wrapping import say, terminal_width
from peerkd.config.pipelines import PIPELINES
from peerkd.launch.invocations.status import RUNNING
from peerkd.stages.open_runs import open_runs
from peerkd.stages.run_wording import cost_in_words, minute, title_of
from peerkd.stages.store_index import write_index
from peerkd.stages.stored_runs import STATES, StoredRun, find_run
from peerkd.suggestions import check_choice
from peerkd.wording import format_bytes

_INDENT: Final = "    "


def show_runs(
    place: StorePlace,
    *,
    as_json: bool,
    state: str | None = None,
    pipeline: str | None = None,
    limit: int | None = None,
) -> None:
    """Print the runs of a store, two lines for each.

    Args:
        place: The options that name the store.
        as_json: Print the runs as JSON instead of text.
        state: The state of the runs that are printed; None for any.
        pipeline: The pipeline of the runs that are printed; None for any.
        limit: The largest number of runs, the latest first; None for all.

    Raises:
        ValueError: If the options name no store, or there is no such state or pipeline.
        StoreUnavailableError: If the store does not answer.
    """
    if state is not None:
        check_choice("state", state, STATES)
    if pipeline is not None:
        check_choice("pipeline", pipeline, PIPELINES)
    _, runs = runs_of(place)
    num_stored = len(runs)
    runs = [run for run in runs if state in (None, run.state) and pipeline in (None, run.pipeline)][:limit]
    if as_json:
        typer.echo(json.dumps([run.to_json() for run in runs], indent=2))
        return
    if not runs:
        such = f" in this state or of this pipeline, of {num_stored:,}" if num_stored else ""
        typer.echo(f"peerkd: {place.address} has no runs{such}.", err=True)
        return
    for line in lines_of_runs(runs, width=terminal_width()):
        typer.echo(line)


def show_run(place: StorePlace, text: str, *, as_json: bool) -> None:
    """Print the summary of a run and the paths of its results.

    Raises:
        ValueError: If the options name no store, or the text does not name one run of the store.
        ArtifactCorruptError: If the report is damaged.
        StoreUnavailableError: If the store does not answer.
    """
    store, runs = runs_of(place)
    run = find_run(runs, text)
    summary, paths = _results(run, store, address=place.address)
    if as_json:
        typer.echo(json.dumps({**run.to_json(), "summary": summary, "paths": paths}, indent=2))
        return
    say(f"{run.name}: {', '.join(_facts(run))}")
    if run.note:
        say(f"Note: {run.note}")
    if summary:
        say(f"\n{summary}")
    if run.stages_left:
        what = "'peerkd watch' shows the progress."
        if run.state != RUNNING:
            what = how_to_continue(run.key, pipeline=run.pipeline, strategy=run.strategy, address=place.address)
        say(f"\nLeft: {', '.join(run.stages_left)}. {what}")
    typer.echo("")
    for title, path in paths.items():
        say(f"{title.capitalize().replace('_', ' ')}: {path}")


def open_report(place: StorePlace, text: str | None) -> None:
    """Open the report of a run in the browser, and print its path. From a store in S3 the report is fetched first.

    Args:
        place: The options that name the store.
        text: The name of the run; None to open the index of the store.

    Raises:
        ValueError: If the options name no store, the text does not name one run of the store, or the run has no report.
        ArtifactCorruptError: If the report is damaged.
        StoreUnavailableError: If the store does not answer.
    """
    from peerkd.stages.report_stage import REPORT_NAME

    if text is None:
        path = write_index(place.address)
    else:
        store, runs = runs_of(place)
        run = find_run(runs, text)
        if run.report is None:
            raise ValueError(f"RUN must be a finished run, got {run.name}, which lacks {', '.join(run.stages_left)}.")
        path = store.fetch(run.report.key) / REPORT_NAME
    typer.echo(str(path))
    if not webbrowser.open(path.absolute().as_uri()):
        typer.echo("peerkd: no browser was found; open the file above in one.", err=True)


def runs_of(place: StorePlace) -> tuple[ArtifactStore, list[StoredRun]]:
    """Return a store and its runs, the latest first. A message about a damaged artifact is printed.

    Raises:
        ValueError: If the options name no store.
        StoreUnavailableError: If the store does not answer.
    """

    def notify(text: str) -> None:
        typer.echo(f"peerkd: {text}", err=True)

    return open_runs(place.address, notify=notify)


def lines_of_runs(runs: Sequence[StoredRun], *, width: int | None = None) -> Iterator[str]:
    """Yield the lines of a table of runs: a row for each run, and below the row its result or the remaining stages.

    Args:
        runs: The runs.
        width: The maximum length of a line. If the table is wider, the other columns of a run are below its name.
    """
    rows = [("NAME", "STATE", "STARTED (UTC)", "PIPELINE", "COST", "SIZE")]
    rows += [
        (
            run.name,
            run.state,
            minute(run.started_at),
            title_of(run),
            cost_in_words(run.cost),
            format_bytes(run.num_bytes),
        )
        for run in runs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        for each in runs:
            yield each.name
            result = f"left: {', '.join(each.stages_left)}" if each.stages_left else each.headline
            note = each.note and f"note: {each.note}"
            for text in filter(None, (", ".join(_facts(each)), result, note)):
                yield from textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        return
    for row, run in zip(rows, [None, *runs], strict=True):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        if run and run.stages_left:
            yield f"{_INDENT}left: {', '.join(run.stages_left)}"
        elif run and run.headline:
            yield f"{_INDENT}{run.headline}"
        if run and run.note:
            yield f"{_INDENT}note: {run.note}"


def _results(run: StoredRun, store: ArtifactStore, *, address: str) -> tuple[str, Mapping[str, str]]:
    """Return the summary of a run, and the paths or addresses of its results by their titles."""
    summary, paths = "", {}
    if run.report:
        # Imported here because it loads numpy, which a list of runs does not need.
        from peerkd.stages.report_rounds import CLASSES_NAME, TEACHERS_NAME
        from peerkd.stages.report_stage import COST_NAME, REPORT_NAME, SUMMARY_NAME

        folder = store.fetch(run.report.key)
        summary = (folder / SUMMARY_NAME).read_text(encoding="utf-8")
        others = {COST_NAME, CLASSES_NAME, TEACHERS_NAME}
        tables = [name for name in run.report.files if name.endswith(".csv") and name not in others]
        named = {"report": REPORT_NAME, "table": tables[0] if tables else "", "cost": COST_NAME}
        paths = {title: str(folder / name) for title, name in named.items() if name in run.report.files}
    for title, nouns in {
        "better_peers": ("improve_peers", "collaborate_peers"),
        "trials": ("distill_pairs", "tune_pairs"),
        "networks": ("train_pcl",),
        "peers": ("pretrain_peers",),
    }.items():
        for found in filter(None, map(run.find, nouns)):
            paths[title] = f"{address.rstrip('/')}/{found.key}"
    return summary, paths


def _facts(run: StoredRun) -> Iterator[str]:
    yield title_of(run)
    yield run.state
    if run.started_at:
        yield f"started {minute(run.started_at)} UTC"
    if run.cost:
        yield cost_in_words(run.cost)
    yield format_bytes(run.num_bytes)
