"""The page that lists the runs of a store and links their reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peerkd.reporting.environment import new_environment
from peerkd.reporting.scripts import list_script


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """The texts that the index shows for one run."""

    name: str
    settings: Mapping[str, str]
    """The settings in which the runs of the store differ, by name. All entries have the same names."""

    pipeline: str
    started: str
    state: str
    headline: str
    """The result of a finished run, how far a run in progress is, or the stages that are left."""

    cost: str
    worker_seconds: float | None
    """The time of all workers, by which the column of costs is sorted. None if it is unknown."""

    size: str
    num_bytes: int
    """The size of the run, by which the column of sizes is sorted."""

    report: str | None
    """The path of the report, relative to the page; None for a run without a report."""

    note: str = ""
    """What somebody has noted about the run; empty if nobody has."""


def render_index(entries: Sequence[IndexEntry], *, title: str, written_at: str, is_running: bool) -> str:
    """Return the page, which needs no network. Without its script, the list can neither be sorted nor filtered.

    Args:
        entries: The runs, in the order in which they are listed.
        title: The name of the store.
        written_at: The time at which the page is written, as text for readers.
        is_running: Whether a run is in progress. The page then loads itself again every few seconds.
    """
    environment = new_environment()
    page: str = environment.get_template("index.html").render(
        entries=entries,
        settings=[*entries[0].settings] if entries else [],
        title=title,
        written_at=written_at,
        is_running=is_running,
        script=list_script(),
    )
    return page
