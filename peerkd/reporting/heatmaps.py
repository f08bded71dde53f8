"""Matrices as tables of coloured cells."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerkd.reporting.palette import step_class
from peerkd.reporting.wording import magnitude, points
from peerkd.results.arrays import FloatArray, IntArray


class Cell(NamedTuple):
    """The text of a cell and the CSS class of its colour; empty for none."""

    text: str
    css_class: str


class HeatMap(NamedTuple):
    """A table: what rows and columns are, their labels, the cells and a last row and column of means or sums."""

    caption: str
    row_axis: str
    column_axis: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


def shared_limit(matrices: Sequence[FloatArray]) -> float:
    """Return the value that has the strongest colour in all of some maps: 95 % of the sizes are at or below it.

    Not the largest, since one pair that collapses would leave all others without colour.
    """
    sizes = np.abs(np.concatenate([matrix.ravel() for matrix in matrices]))
    known = sizes[~np.isnan(sizes)]
    # Never below half a point: what is smaller should look like nothing.
    return max(0.005, float(np.percentile(known, 95)) if known.size else 0.0)


def pairs_data(values_PP: FloatArray, *, caption: str, limit: float) -> HeatMap:
    """Return the map of a difference in points by student and teacher, with the means of rows and columns."""

    def colour(value: float) -> Cell:
        return Cell("" if math.isnan(value) else points(value), step_class(value, limit=limit))

    labels = [*map(str, range(len(values_PP))), "mean"]
    rows = [[*map(colour, row.tolist()), _mean(row)] for row in values_PP]
    rows.append([*(_mean(column) for column in values_PP.T), _mean(values_PP)])
    return HeatMap(
        caption=caption,
        row_axis="student",
        column_axis="teacher",
        columns=labels,
        rows=list(zip(labels, rows, strict=True)),
    )


def class_counts_data(counts_PK: IntArray, class_names: Sequence[str]) -> HeatMap:
    """Return the map of each peer's training samples by class, with their sums."""
    largest = max(1, int(counts_PK.max()))
    return HeatMap(
        caption="Training samples of each peer by class",
        row_axis="peer",
        column_axis="class",
        columns=[*class_names, "all"],
        rows=[
            (
                str(peer),
                [
                    *(Cell(f"{count:,}", step_class(count, limit=largest)) for count in counts),
                    Cell(f"{sum(counts):,}", ""),
                ],
            )
            for peer, counts in enumerate(counts_PK.tolist())
        ],
    )


def class_accuracy_lost_data(lost: FloatArray, *, transfer_sets: Sequence[str], class_names: Sequence[str]) -> HeatMap:
    """Return the map of accuracy lost in points by transfer set and class.

    Args:
        lost: (num_transfer_sets, num_classes) fractions, NaN for a class without test samples.
        transfer_sets: Names of the rows.
        class_names: Names of the columns.
    """
    limit = shared_limit([lost])
    return HeatMap(
        caption="Accuracy lost by class, in points",
        row_axis="transfer set",
        column_axis="class",
        columns=list(class_names),
        rows=[
            (name, [Cell(magnitude(value), step_class(-value, limit=limit)) for value in values])
            for name, values in zip(transfer_sets, lost.tolist(), strict=True)
        ],
    )


def _mean(values: FloatArray) -> Cell:
    known = values[~np.isnan(values)]
    return Cell(points(float(known.mean())) if known.size else "", "")
