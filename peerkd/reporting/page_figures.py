"""The charts of a page, read from its HTML."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final, NamedTuple

from peerkd.reporting.explored_figures import matrices_of_pairs, surfaces


class PageFigure(NamedTuple):
    """A chart of a page: its title, its kind, and its axes and marks."""

    title: str
    kind: str
    data: dict[str, Any]


_SHADE: Final = re.compile(r"[pn]\d|z")
_NUMBER: Final = re.compile(r"[+-]?[\d,]+(\.\d+)?")


def read_page(page: str) -> Iterator[PageFigure]:
    """Yield the charts of a page, in the order of the page.

    Args:
        page: The HTML of the page.
    """
    parser = _PageParser()
    parser.feed(page)
    parser.close()
    study = json.loads(parser.study) if parser.study else None
    for kind, found in parser.found:
        if kind == "chart":
            values = json.loads(found.text)
            yield PageFigure(values.pop("label"), values.pop("kind"), values)
        elif kind == "heat":
            yield found.read()
        # A page of an earlier version has another form of the study.
        elif study and "surface" in study:
            explored = surfaces(study) if kind == "mean-surface" else matrices_of_pairs(study)
            yield from (PageFigure(*each) for each in explored)


class _Chart:
    """The JSON of a chart."""

    text = ""


class _Matrix:
    """A table of coloured cells."""

    def __init__(self) -> None:
        self.caption = ""
        self.heads: list[list[str]] = []
        """The texts of the header cells of each row."""

        self.cells: list[list[tuple[str, str, str]]] = []
        """The text, the small print and the shade of each cell, by row."""

    def read(self) -> PageFigure:
        (row_axis, column_axis), columns, *rows = self.heads
        texts = [[text.strip() for text, _, _ in cells] for cells in self.cells if cells]
        data = {
            "row_axis": row_axis,
            "column_axis": column_axis,
            "columns": columns,
            "rows": [head[0] for head in rows],
            "values": [[_value(text) for text in row] for row in texts],
            "texts": texts,
            "notes": [[note.strip() for _, note, _ in cells] for cells in self.cells if cells],
            "shades": [[shade for _, _, shade in cells] for cells in self.cells if cells],
        }
        return PageFigure(self.caption.strip(), "matrix", data)


def _value(text: str) -> float | None:
    written = text.replace("\N{MINUS SIGN}", "-")
    return float(written.replace(",", "")) if _NUMBER.fullmatch(written) else None


class _PageParser(HTMLParser):
    """A parser that collects the charts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, Any]] = []
        self.study = ""
        self._target: Any = None
        """What takes the present text: a chart, a matrix, or None."""

        self._part = ""
        """The part of the chart, matrix or page to which the present text belongs."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        match tag:
            case "div" if "chart" in classes:
                self._begin("chart", _Chart())
            case "figure" if "heat" in classes:
                self._begin("heat", _Matrix())
            case "div" if given.get("id") in ("mean-surface", "pairs-map"):
                self.found.append((str(given["id"]), None))
            case "script" if given.get("id") == "study":
                self._part = "study"
            case "script" if isinstance(self._target, _Chart) and given.get("type") == "application/json":
                self._part = "chart"
            case "figcaption" if isinstance(self._target, _Matrix):
                self._part = "caption"
            case "tr" if isinstance(self._target, _Matrix):
                self._target.heads.append([])
                self._target.cells.append([])
            case "th" if isinstance(self._target, _Matrix):
                self._target.heads[-1].append("")
                self._part = "head"
            case "td" if isinstance(self._target, _Matrix):
                shade = next(filter(_SHADE.fullmatch, classes), "")
                self._target.cells[-1].append(("", "", shade))
                self._part = "cell"
            case "small" if self._part == "cell":
                self._part = "note"

    def handle_data(self, data: str) -> None:
        match self._part:
            case "study":
                self.study += data
            case "chart":
                self._target.text += data
            case "caption":
                self._target.caption += data
            case "head":
                self._target.heads[-1][-1] += data
            case "cell" | "note":
                text, note, shade = self._target.cells[-1][-1]
                text, note = (text + data, note) if self._part == "cell" else (text, note + data)
                self._target.cells[-1][-1] = (text, note, shade)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "figcaption", "th", "td"):
            self._part = ""
        elif tag == "small" and self._part == "note":
            self._part = "cell"
        if tag == "figure" or (tag == "script" and isinstance(self._target, _Chart)):
            self._target = None

    def _begin(self, kind: str, target: Any) -> None:
        self._target = target
        self.found.append((kind, target))
