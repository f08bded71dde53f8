"""The charts of a report as data, which show themselves in a notebook."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from peerkd.api.tables import Form, from_rows, in_form
from peerkd.excerpt import plain_path
from peerkd.reporting.figure_rows import rows_of
from peerkd.reporting.page_figures import read_page

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Figure(NamedTuple):
    """A chart of a report as data. In a notebook it shows itself as the page of the report does."""

    title: str
    """What the chart shows, in words."""

    kind: str
    """The kind of chart.

    ``xy`` has points, lines and areas, ``intervals`` values with their intervals, ``bars`` counts or shares,
    ``network`` peers with arrows, ``surface`` the mean over pairs under each setting, and ``matrix`` a table of
    coloured cells, such as one for each student and teacher.
    """

    data: dict[str, Any]
    """The axes and marks of the chart, in the units of their values. The keys depend on ``kind``."""

    @overload
    def table(self, *, form: Literal["pandas"] = ...) -> "pd.DataFrame": ...

    @overload
    def table(self, *, form: Literal["polars"]) -> "pl.DataFrame": ...

    @overload
    def table(self, *, form: Literal["arrow"]) -> "pa.Table": ...

    def table(self, *, form: Form = "pandas") -> Any:
        """Return the marks of the chart, one in each row.

        Args:
            form: ``pandas``, ``polars`` or ``arrow``, as for ``Run.table``.

        Raises:
            ValueError: If the package is not installed.
        """
        return in_form(from_rows(rows_of(self.kind, self.data)), form)

    def save(self, path: str | Path) -> Path:
        """Write the chart to a file, and return its path.

        Args:
            path: The file. Its ending selects the content: ``.html`` for a page with the chart, whose button saves it
                as SVG, and ``.csv`` for its marks.

        Raises:
            ValueError: If the file has another ending.
        """
        file = Path(path)
        match file.suffix:
            case ".html":
                file.write_text(self._page(), encoding="utf-8")
            case ".csv":
                rows = rows_of(self.kind, self.data)
                with file.open("w", encoding="utf-8", newline="") as opened:
                    writer = csv.DictWriter(opened, [*(rows[0] if rows else ())], lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
            case _:
                by_hand = "; the page of an .html file has a button that saves SVG" if file.suffix == ".svg" else ""
                raise ValueError(f"path must end in .html or .csv, got {plain_path(file)}{by_hand}.")
        return file

    def _page(self) -> str:
        from peerkd.reporting.figure_page import render_figure

        return render_figure(self.title, self.kind, self.data)

    def _repr_html_(self) -> str:
        from markupsafe import Markup

        from peerkd.reporting.figure_page import height_pixels

        # The frame keeps the style and the script of the page apart from those of the notebook.
        frame = (
            '<iframe srcdoc="{}" title="{}" sandbox="allow-scripts" '
            'style="width: 100%; height: {}px; border: 0"></iframe>'
        )
        return str(Markup(frame).format(self._page(), self.title, height_pixels(self.kind, self.data)))


def read_figures(page: str) -> Iterator[Figure]:
    """Yield the charts of a report, in the order of the page.

    Args:
        page: The HTML of the report.
    """
    for title, kind, data in read_page(page):
        yield Figure(title, kind, data)
