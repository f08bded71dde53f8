"""``peerkd runs``, ``peerkd show`` and ``peerkd open``: the runs of a store, and the results of one."""

import json
import webbrowser
from collections.abc import Iterator, Mapping
from typing import Final

import typer

from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.options import StorePlace
from peerkd.results.cost import Cost
from peerkd.stages.stored_runs import StoredRun, find_run, list_runs
from peerkd.wording import format_bytes, format_duration

_UNKNOWN: Final = "-"
_INDENT: Final = "    "


def show_runs(place: StorePlace, *, as_json: bool) -> None:
    """Print the runs of a store, two lines for each.

    Raises:
        ValueError: If the place is not a store.
        StoreUnavailableError: If the store does not answer.
    """
    _, runs = _runs_of(place)
    if as_json:
        typer.echo(json.dumps([run.to_json() for run in runs], indent=2))
        return
    if not runs:
        typer.echo(f"peerkd: {place.address} has no runs.", err=True)
        return
    for line in lines_of_runs(runs):
        typer.echo(line)


def show_run(place: StorePlace, text: str, *, as_json: bool) -> None:
    """Print the summary of a run and the paths of its results.

    Raises:
        ValueError: If the place is not a store, or the text does not name one of its runs.
        ArtifactCorruptError: If the report is damaged.
        StoreUnavailableError: If the store does not answer.
    """
    store, runs = _runs_of(place)
    run = find_run(runs, text)
    summary, paths = _results(run, store, address=place.address)
    if as_json:
        typer.echo(json.dumps({**run.to_json(), "summary": summary, "paths": paths}, indent=2))
        return
    typer.echo(f"{run.name}: {', '.join(_facts(run))}")
    if summary:
        typer.echo(f"\n{summary}")
    if run.stages_left:
        typer.echo(f"\nLeft: {', '.join(run.stages_left)}. To continue, repeat the command that began the run.")
    typer.echo("")
    for title, path in paths.items():
        typer.echo(f"{title.capitalize().replace('_', ' ')}: {path}")


def open_report(place: StorePlace, text: str) -> None:
    """Open the report of a run in the browser, and print its path. From a store in S3 the report is fetched first.

    Raises:
        ValueError: If the place is not a store, the text does not name one of its runs, or the run has no report.
        ArtifactCorruptError: If the report is damaged.
        StoreUnavailableError: If the store does not answer.
    """
    from peerkd.stages.report_stage import REPORT_NAME

    store, runs = _runs_of(place)
    run = find_run(runs, text)
    if run.report is None:
        raise ValueError(f"RUN must be a finished run, got {run.name}, which lacks {', '.join(run.stages_left)}.")
    path = store.fetch(run.report.key) / REPORT_NAME
    typer.echo(str(path))
    if not webbrowser.open(path.absolute().as_uri()):
        typer.echo("peerkd: no browser was found; open the file above in one.", err=True)


def lines_of_runs(runs: list[StoredRun]) -> Iterator[str]:
    """Yield the lines of a table of runs: the facts of each run, and below them its result or the remaining stages."""
    rows = [("NAME", "STATE", "STARTED (UTC)", "PIPELINE", "COST", "SIZE")]
    rows += [
        (
            run.name,
            _state(run),
            _minute(run.started_at),
            _title(run),
            _in_words(run.cost),
            format_bytes(run.num_bytes),
        )
        for run in runs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, run in zip(rows, [None, *runs], strict=True):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        if run and run.stages_left:
            yield f"{_INDENT}left: {', '.join(run.stages_left)}"
        elif run and run.headline:
            yield f"{_INDENT}{run.headline}"


def _runs_of(place: StorePlace) -> tuple[ArtifactStore, list[StoredRun]]:
    def notify(text: str) -> None:
        typer.echo(f"peerkd: {text}", err=True)

    store = open_store(place.address, notify=notify)
    return store, list_runs(store, notify=notify)


def _results(run: StoredRun, store: ArtifactStore, *, address: str) -> tuple[str, Mapping[str, str]]:
    """Return the summary of a run, and the paths or addresses of its results by their titles."""
    summary, paths = "", {}
    if run.report:
        # Imported here because it loads numpy, which a list of runs does not need.
        from peerkd.stages.report_stage import COST_NAME, REPORT_NAME, SUMMARY_NAME

        folder = store.fetch(run.report.key)
        summary = (folder / SUMMARY_NAME).read_text(encoding="utf-8")
        tables = [name for name in run.report.files if name.endswith(".csv") and name != COST_NAME]
        named = {"report": REPORT_NAME, "table": tables[0] if tables else "", "cost": COST_NAME}
        paths = {title: str(folder / name) for title, name in named.items() if name in run.report.files}
    for title, nouns in {
        "better_peers": ("improve_peers",),
        "trials": ("distill_pairs", "tune_pairs"),
        "networks": ("train_pcl",),
        "peers": ("pretrain_peers",),
    }.items():
        for found in filter(None, map(run.find, nouns)):
            paths[title] = f"{address.rstrip('/')}/{found.key}"
    return summary, paths


def _facts(run: StoredRun) -> Iterator[str]:
    yield _title(run)
    yield _state(run)
    if run.started_at:
        yield f"started {_minute(run.started_at)} UTC"
    if run.cost:
        yield _in_words(run.cost)
    yield format_bytes(run.num_bytes)


def _state(run: StoredRun) -> str:
    return "finished" if run.is_finished else "unfinished"


def _title(run: StoredRun) -> str:
    return " ".join(filter(None, (run.pipeline, run.strategy)))


def _minute(time: str | None) -> str:
    """Return an ISO 8601 time as date, hour and minute, such as ``2026-01-31 12:30``."""
    return time[:16].replace("T", " ") if time else _UNKNOWN


def _in_words(cost: Cost | None) -> str:
    """Return a cost in words: the workers' time, the GPUs' time if there were any, and the price if it is known."""
    if cost is None:
        return _UNKNOWN
    parts = [format_duration(cost.worker_seconds)]
    if cost.gpu_seconds:
        parts.append(f"{format_duration(cost.gpu_seconds)} of GPUs")
    if cost.money is not None:
        parts.append(f"{cost.money:,.2f}")
    return ", ".join(parts)
