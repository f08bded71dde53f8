"""A page with a single chart, as a notebook shows it in a frame. It needs no network."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.reporting import palette
from peerkd.reporting.environment import new_environment
from peerkd.reporting.figures import chart_element
from peerkd.reporting.scripts import page_scripts

_TOOLBAR_PIXELS: Final = 90
"""The height of everything around a drawing: its title, its buttons and the margins of the page."""

_NETWORK_PIXELS: Final = 380
_MAX_SETS_SIDE_BY_SIDE: Final = 3


def render_figure(title: str, kind: str, data: Mapping[str, Any]) -> str:
    """Return the page of a chart.

    Args:
        title: What the chart shows, in words.
        kind: The kind of the chart, as the script of the page names it.
        data: The axes and marks of the chart. Their names depend on the kind.
    """
    page: str = (
        new_environment()
        .get_template("figure.html")
        .render(
            title=title,
            chart=chart_element(kind, title, data),
            palette_css=palette.css(),
            line_css=palette.line_css(),
            scripts=page_scripts(("surfaces",)),
        )
    )
    return page


def height_pixels(kind: str, data: Mapping[str, Any]) -> int:
    """Return about how high the page of a chart is."""
    match kind:
        case "xy":
            drawing = int(data["height"])
        case "intervals":
            drawing = 36 + 44 * len(data["rows"])
        case "bars":
            drawing = 8 + 28 * len(data["bars"])
        case "matrix":
            drawing = 60 + 36 * len(data["rows"])
        case "surface":
            cells = data["cells"]
            num_sets = len({cell["transfer_set"] for cell in cells})
            num_bands = len({(cell["learning_rate"], cell["loss"], cell["target"]) for cell in cells})
            num_bands *= 1 if num_sets <= _MAX_SETS_SIDE_BY_SIDE else num_sets
            drawing = 76 + num_bands * (14 + 34 * len({cell["temperature"] for cell in cells}))
        case _:
            drawing = _NETWORK_PIXELS
    return drawing + _TOOLBAR_PIXELS
