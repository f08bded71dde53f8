"""Runs as HTML, as a notebook shows them."""

from collections.abc import Iterable
from typing import Final

from markupsafe import Markup, escape

from peerkd.stages.run_wording import cost_in_words, minute, result_of, title_of
from peerkd.stages.stored_runs import StoredRun
from peerkd.wording import format_bytes

_COLUMNS: Final = ("run", "result", "note", "pipeline", "started (UTC)", "state", "cost", "size")


def html_of_run(run: StoredRun, *, tables: Iterable[str]) -> str:
    """Return the properties of a run as a table with one row for each property.

    Args:
        run: The run.
        tables: The names of its tables.
    """
    facts = dict(zip(_COLUMNS[1:], _cells(run)[1:], strict=True)) | {"tables": ", ".join(tables)}
    rows = (Markup("<tr><th>{}</th><td>{}</td></tr>").format(*fact) for fact in facts.items() if fact[1])
    return f"<b>{escape(run.name)}</b><table>{''.join(rows)}</table>"


def html_of_runs(runs: Iterable[StoredRun]) -> str:
    """Return runs as a table with one row for each run."""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = ("".join(Markup("<td>{}</td>").format(cell) for cell in _cells(run)) for run in runs)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"


def _cells(run: StoredRun) -> tuple[str, ...]:
    """Return the texts of ``_COLUMNS``."""
    return (
        run.name,
        result_of(run),
        run.note,
        title_of(run),
        minute(run.started_at),
        run.state,
        cost_in_words(run.cost),
        format_bytes(run.num_bytes),
    )
