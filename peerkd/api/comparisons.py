"""Several runs side by side, from Python."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from peerkd.api.figures import Figure, read_figures
from peerkd.api.runs import Run, open_run
from peerkd.api.tables import Form, in_form
from peerkd.excerpt import plain_path
from peerkd.reporting.compare import tables
from peerkd.stages.compared_runs import ComparedRuns, compare_runs

if TYPE_CHECKING:
    from typing import Literal

    import pandas as pd
    import polars as pl
    import pyarrow as pa


class ComparedGroup(NamedTuple):
    """Runs that differ in their seed alone."""

    name: str
    """``group 1`` for the group of the first run, with which all others are compared."""

    settings: Mapping[str, str]
    """The settings in which the groups differ, as text, by the dotted name of the field."""

    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    """The names of the runs."""


class GroupDifference(NamedTuple):
    """The mean of a quantity in a group minus its mean in the first group, as a fraction."""

    quantity: str
    group: str
    """The name of the group."""

    value: float | None
    low: float | None
    """The lower bound of the 95 % interval. None if there is no interval."""

    high: float | None
    basis: str
    """How the difference is paired: ``seeds``, ``peers``, or ``none``."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between the settings of runs and between their results, as ``peerkd compare`` prints it."""

    compared: ComparedRuns

    def __repr__(self) -> str:
        """Return the numbers of studies and groups in one line."""
        return f"<Comparison: {tables.summary(self.compared.comparison)}>"

    @property
    def fields(self) -> tuple[str, ...]:
        """The dotted names of the fields in which the groups differ."""
        return self.compared.comparison.fields

    @property
    def groups(self) -> tuple[ComparedGroup, ...]:
        """The groups, in the order of their first runs."""
        return tuple(
            ComparedGroup(
                name=tables.name_of(place),
                settings=dict(group.settings),
                seeds=group.seeds,
                runs=tuple(dict.fromkeys(study.run for study in group.studies)),
            )
            for place, group in enumerate(self.compared.comparison.groups)
        )

    @property
    def differences(self) -> tuple[GroupDifference, ...]:
        """The difference of each group after the first one from the first one, for each quantity."""
        comparison = self.compared.comparison
        found = []
        for quantity in comparison.quantities:
            for place in range(1, len(comparison.groups)):
                estimate, basis = comparison.difference(place, quantity)
                value, low, high = map(_known, (estimate.value, estimate.low, estimate.high))
                found.append(GroupDifference(quantity.title, tables.name_of(place), value, low, high, basis))
        return tuple(found)

    @property
    def summary(self) -> str:
        """The text that ``peerkd compare`` prints."""
        return tables.terminal_summary(self.compared.comparison)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The charts of the page about the comparison."""
        return tuple(read_figures(self.compared.render_page()))

    @overload
    def table(self, *, form: "Literal['pandas']" = ...) -> "pd.DataFrame": ...

    @overload
    def table(self, *, form: "Literal['polars']") -> "pl.DataFrame": ...

    @overload
    def table(self, *, form: "Literal['arrow']") -> "pa.Table": ...

    def table(self, *, form: Form = "pandas") -> Any:
        """Return one row for each quantity and group, with the columns of ``peerkd compare --csv``.

        Gains and accuracies are fractions.

        Args:
            form: ``pandas``, ``polars`` or ``arrow``, as for ``Run.table``.

        Raises:
            ValueError: If the package is not installed.
        """
        return in_form(tables.to_arrow(self.compared.comparison), form)

    def save(self, path: str | Path) -> Path:
        """Write the comparison to a file, and return its path.

        Args:
            path: The file. Its ending selects the content: ``.html`` for the page, ``.csv`` for the table, and
                ``.json`` for what ``peerkd compare --json`` prints.

        Raises:
            ValueError: If the file has another ending.
        """
        comparison, file = self.compared.comparison, Path(path)
        match file.suffix:
            case ".html":
                text = self.compared.render_page()
            case ".csv":
                text = tables.to_csv(comparison)
            case ".json":
                text = json.dumps(tables.to_json(comparison), indent=2, allow_nan=False) + "\n"
            case _:
                raise ValueError(f"path must end in .html, .csv or .json, got {plain_path(file)}.")
        file.write_text(text, encoding="utf-8")
        return file

    def _repr_html_(self) -> str:
        from markupsafe import escape

        return f"<pre>{escape(self.summary)}</pre>"


def compare(runs: Iterable[Run | str], *, store: str | Path = "runs") -> Comparison:
    """Compare finished runs of one pipeline and one store, as ``peerkd compare`` does.

    Args:
        runs: The runs, or their names. A run with several seeds stands for the runs of its seeds.
        store: The store in which runs are looked up that are given by name.

    Raises:
        ValueError: If there are fewer than two runs, if a run is unfinished, or if the runs cannot be compared.
    """
    found = [open_run(run, store=store) if isinstance(run, str) else run for run in runs]
    others = [run for run in found if run.address != found[0].address]
    if others:
        raise ValueError(
            f"runs must be runs of one store, got {found[0].name} of {plain_path(found[0].address)} and "
            f"{others[0].name} of {plain_path(others[0].address)}."
        )
    single = [each.stored for run in found for each in run.runs]
    if len(single) < 2:
        raise ValueError(f"runs must be at least two runs, got {len(single)}.")
    return Comparison(compare_runs(single, found[0].store))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
