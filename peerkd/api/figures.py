"""The charts of a report as data."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A chart of a report as data. The page of the report shows the same chart, and can save it as SVG and as CSV."""

    title: str
    """What the chart shows, in words."""

    kind: str
    """The kind of chart: ``xy`` has points, lines and areas, ``intervals`` values with their intervals, ``bars`` counts
    or shares, and ``network`` peers with arrows."""

    data: dict[str, Any]
    """The axes and marks of the chart, in the units of their values. The keys depend on ``kind``."""


def read_figures(page: str) -> Iterator[Figure]:
    """Yield the charts of a report, in the order of the page.

    Args:
        page: The HTML of the report.
    """
    parser = _ChartParser()
    parser.feed(page)
    parser.close()
    for text in parser.texts:
        values = json.loads(text)
        yield Figure(values.pop("label"), values.pop("kind"), values)


class _ChartParser(HTMLParser):
    """A parser that collects the JSON of all elements of the class ``chart``."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._is_in_chart = self._is_in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "div":
            self._is_in_chart = "chart" in (given.get("class") or "").split()
        elif tag == "script" and self._is_in_chart and given.get("type") == "application/json":
            self._is_in_script = True
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self._is_in_script:
            self.texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._is_in_script:
            self._is_in_chart = self._is_in_script = False
