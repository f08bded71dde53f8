"""The marks of a chart as rows of a table.

The script of the page saves the same numbers as CSV. There, a surface has its loss, target and learning rate in one
column, and a matrix has its texts in place of its values.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Data = Mapping[str, Any]
Row = dict[str, Any]


def rows_of(kind: str, data: Data) -> list[Row]:
    """Return the marks of a chart, one in each row.

    Args:
        kind: The kind of the chart.
        data: Its axes and marks.
    """
    return list(_ROWS[kind](data))


def _xy(data: Data) -> Iterator[Row]:
    x, y = data["x"]["title"] or "x", data["y"]["title"] or "y"
    for series in data["series"]:
        for line in series["lines"]:
            for left, value in zip(line["xs"], line["ys"], strict=True):
                yield {"series": series["label"], x: left, y: value, "description": line["title"]}
        for dot in series["dots"]:
            yield {"series": series["label"], x: dot["x"], y: dot["y"], "description": dot["title"]}


def _intervals(data: Data) -> Iterator[Row]:
    for row in data["rows"]:
        estimate = row["estimate"]
        points = {f"{name}points": _in_points(estimate[key]) for name, key in _BOUNDS.items()}
        yield {"name": row["label"], **points, "n": estimate["num"]}


_BOUNDS: Final = {"": "value", "low_": "low", "high_": "high"}


def _bars(data: Data) -> Iterator[Row]:
    name = "share" if data["unit"] == "percent" else "num_pairs"
    for value, size in data["bars"]:
        yield {"value": value, name: size}


def _network(data: Data) -> Iterator[Row]:
    peers = data["peers"]
    for arrow in data["arrows"]:
        yield {
            "student": peers[arrow["student"]],
            "teacher": peers[arrow["teacher"]],
            "advice": "learn" if arrow["is_decided"] else "pair alone",
            "gain_points": _in_points(arrow["gain"]),
        }


_SETTING: Final = ("transfer_set", "temperature", "alpha", "learning_rate", "loss", "target")


def _surface(data: Data) -> Iterator[Row]:
    for cell in data["cells"]:
        yield {
            **{name: cell[name] for name in _SETTING},
            **{f"{name}points": _in_points(cell[key]) for name, key in _BOUNDS.items()},
            "num_pairs": cell["num"],
            "num_pairs_that_choose_it": cell["num_chosen"],
        }


def _matrix(data: Data) -> Iterator[Row]:
    for row, values, texts in zip(data["rows"], data["values"], data["texts"], strict=True):
        for column, value, text in zip(data["columns"], values, texts, strict=True):
            yield {data["row_axis"]: row, data["column_axis"]: column, "value": value, "text": text}


def _in_points(fraction: float | None) -> float | None:
    return None if fraction is None else float(f"{100 * fraction:.8g}")


_ROWS: Final[Mapping[str, Callable[[Data], Iterator[Row]]]] = {
    "xy": _xy,
    "intervals": _intervals,
    "bars": _bars,
    "network": _network,
    "surface": _surface,
    "matrix": _matrix,
}
