"""Charts as elements of a page. The script of the page draws them with Observable Plot.

An element contains the chart as JSON, in the units of its values. The script chooses the ticks, draws the chart as SVG
in the width of the element, and offers it as an SVG file and its data as a CSV file.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from peerkd.reporting.charts import BarChart, IntervalChart, NetworkChart, XYChart
from peerkd.reporting.wording import true_minus


def xy_chart(chart: XYChart, label: str, *, height: int) -> Markup:
    """Return a chart of the width of the text. ``label`` describes the chart to readers who cannot see it.

    Args:
        chart: The chart.
        label: What the chart shows, in words.
        height: Height in pixels.
    """
    return _element("xy", chart, label, height=height)


def panel(chart: XYChart, label: str) -> Markup:
    """Return a smaller chart, several of which fit side by side."""
    return _element("xy", chart, label, height=230)


def interval_chart(chart: IntervalChart, label: str) -> Markup:
    """Return a chart of values with their intervals."""
    return _element("intervals", chart, label)


def bar_chart(chart: BarChart, label: str) -> Markup:
    """Return a chart of counts or shares."""
    return _element("bars", chart, label)


def network(chart: NetworkChart, label: str) -> Markup:
    """Return a network of peers."""
    return _element("network", chart, label)


def to_json(value: Any) -> Markup:
    """Return a value as JSON that can stand in a script element.

    Named tuples and dataclasses become objects. Numbers that are not finite become null, because JSON has none. The
    characters that could end the element or begin a comment in it are escaped.
    """
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def chart_element(kind: str, label: str, marks: Mapping[str, Any]) -> Markup:
    """Return the element of a chart of any kind that the script of the page can draw.

    Args:
        kind: The kind of the chart.
        label: What the chart shows, in words.
        marks: The axes and marks of the chart. Their names depend on the kind.
    """
    spec = to_json({"kind": kind, "label": true_minus(label), **marks})
    return Markup('<div class="chart {}" data-label="{}"><script type="application/json">{}</script></div>').format(
        kind, escape(label), spec
    )


def _element(kind: str, chart: XYChart | IntervalChart | BarChart | NetworkChart, label: str, **options: int) -> Markup:
    return chart_element(kind, label, {**options, **chart._asdict()})


def _plain(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case tuple() if hasattr(value, "_asdict"):
            return _plain(value._asdict())
        case _ if dataclasses.is_dataclass(value):
            return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {name: _plain(each) for name, each in value.items()}
    return value
