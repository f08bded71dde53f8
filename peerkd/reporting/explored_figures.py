"""What a reader can explore on the page of a sweep, as charts: the surface and the matrix of pairs, by measure.

The numbers come from the JSON with which the script of the page draws them.

Shape suffixes: N = trials, P = peers, Q = pairs.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.reporting.heatmaps import shared_limit
from peerkd.reporting.packed import unpacked
from peerkd.reporting.palette import step_class
from peerkd.reporting.wording import magnitude, points

MEASURES: Final = {
    "global": "gain of global accuracy",
    "own": "gain of own accuracy",
    "teacher": "teacher's part of the gain",
    "forgetting": "forgetting",
}
"""The measures of a trial, in the words of the page."""

_ROLES: Final = {
    "chosen": "best setting of each pair",
    "default": "untuned default",
    "control": "control without a teacher",
}
_DECIMALS: Final = 8
"""The number of decimals to which a 32-bit float is rounded, as in the script of the page."""

Chart = tuple[str, str, dict[str, Any]]
"""The title, the kind, and the axes and marks of a chart."""


def surfaces(study: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield the mean over pairs by temperature, alpha and transfer set, for each measure.

    Args:
        study: The JSON of the page.
    """
    surface = study["surface"]
    flags = {name: unpacked(surface[name]) for name in ("is_default", "is_at_edge", "num_pairs_that_choose")}
    for measure in _measures(study):
        means = {name: unpacked(each) for name, each in surface["measures"][measure].items()}
        cells = [
            {
                **setting,
                "value": float(means["value"][index]),
                "low": _known(means["low"][index]),
                "high": _known(means["high"][index]),
                "num": int(means["num"][index]),
                "num_chosen": int(flags["num_pairs_that_choose"][index]),
                "is_default": bool(flags["is_default"][index]),
                "is_at_edge": bool(flags["is_at_edge"][index]),
            }
            for index, setting in enumerate(study["settings"])
            if means["num"][index]
        ]
        title = f"Mean over pairs by temperature, alpha and transfer set: {MEASURES[measure]}"
        yield title, "surface", {"measure": measure, "transfer_sets": study["transfer_sets"], "cells": cells}


def matrices_of_pairs(study: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield the matrix of students and teachers: each measure under the best setting of each pair, then others.

    Args:
        study: The JSON of the page.
    """
    scope = study["scope"]
    shown = [(measure, "chosen") for measure in _measures(study)]
    shown += [(scope, role) for role in ("default", "control") if role in study["roles"]]
    rows = {name: unpacked(each) for name, each in study["rows"].items()}
    for measure, role in shown:
        values_PP = _square(study, unpacked(study["roles"][role][""]), _values(measure, rows, study))
        yield f"Points on test: {MEASURES[measure]}, {_ROLES[role]}", "matrix", _matrix(study, values_PP, measure)


def _measures(study: Mapping[str, Any]) -> list[str]:
    """Return the measures, that by which settings are chosen first."""
    return sorted(MEASURES, key=lambda measure: measure != study["scope"])


def _values(measure: str, rows: Mapping[str, Any], study: Mapping[str, Any]) -> FloatArray:
    """Return a measure of all trials as fractions of shape (N,), NaN for a trial that diverged."""
    if measure == "global":
        gains_N = (rows["right"].astype(np.int64) - rows["wrong"]) / study["num_test_samples"]
        return np.where(np.isnan(rows["own"]), np.nan, gains_N)
    name = {"teacher": "from_teacher"}.get(measure, measure)
    values_N: FloatArray = np.round(rows[name].astype(np.float64), _DECIMALS)
    return values_N


def _square(study: Mapping[str, Any], rows_Q: Any, values_N: FloatArray) -> FloatArray:
    """Return the values of the trials of all pairs, NaN for a pair without a trial."""
    num = len(study["peers"])
    values_Q = np.where(rows_Q >= 0, values_N[rows_Q], np.nan)
    values_PP: FloatArray = np.full((num, num), np.nan)
    if study["tried"] is None:
        return values_Q.reshape(num, num)
    values_PP[unpacked(study["tried"]["student"]), unpacked(study["tried"]["teacher"])] = values_Q
    return values_PP


def _matrix(study: Mapping[str, Any], values_PP: FloatArray, measure: str) -> dict[str, Any]:
    is_loss = measure == "forgetting"
    write = magnitude if is_loss else points
    limit = shared_limit([values_PP])
    shown_PP = -values_PP if is_loss else values_PP
    means = [*map(_mean, values_PP)], [*map(_mean, values_PP.T)]
    values = [[*row, mean] for row, mean in zip(values_PP.tolist(), means[0], strict=True)]
    values.append([*means[1], _mean(values_PP)])
    shades = [[*(step_class(value, limit=limit) for value in row), ""] for row in shown_PP.tolist()]
    names = [*study["peers"], "mean"]
    return {
        "row_axis": "student",
        "column_axis": "teacher",
        "rows": names,
        "columns": names,
        "values": [[None if np.isnan(value) else 100 * value for value in row] for row in values],
        "texts": [["" if np.isnan(value) else write(value) for value in row] for row in values],
        "notes": [[""] * len(names)] * len(names),
        "shades": [*shades, [""] * len(names)],
    }


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
