"""The page that lists the runs of a store and links their reports."""

from collections.abc import Sequence
from dataclasses import dataclass

from peerkd.reporting.environment import new_environment


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """The texts that the index shows for one run."""

    name: str
    pipeline: str
    started: str
    state: str
    headline: str
    """The result of a finished run, or the stages that an unfinished run has not done yet."""

    cost: str
    size: str
    report: str | None
    """The path of the report, relative to the page; None for a run without a report."""

    note: str = ""
    """What somebody has noted about the run; empty if nobody has."""


def render_index(entries: Sequence[IndexEntry], *, title: str, written_at: str) -> str:
    """Return the page, which needs no network and no script.

    Args:
        entries: The runs, in the order in which they are listed.
        title: The name of the store.
        written_at: The time at which the page is written, as text for readers.
    """
    environment = new_environment()
    page: str = environment.get_template("index.html").render(entries=entries, title=title, written_at=written_at)
    return page
