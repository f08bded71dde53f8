"""Matrices as tables of cells. A cell shows a number, whose value decides the colour of the cell, or a setting."""

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Final, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs import sets_temperature
from peerkd.reporting.wording import OWN_TEMPERATURE, magnitude, number, points, value
from peerkd.study.transfer_sets import TRANSFER_SETS

NO_ALPHA: Final = "\N{EN DASH}"
"""The text in place of an alpha if the transfer set has no labels, because alpha then has no effect."""


class Cell(NamedTuple):
    """A cell of a heat map or of another table."""

    text: str
    value: float = math.nan
    """The value that decides the colour. NaN for a cell without colour."""

    small_print: str = ""
    style: str = ""
    """The CSS classes of the cell."""


class HeatMap(NamedTuple):
    """A table with labelled axes."""

    caption: str
    row_axis: str
    column_axis: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    limit: float = 1.0
    """The smallest magnitude of a value whose cell has the strongest colour."""


def shared_limit(matrices: Sequence[FloatArray]) -> float:
    """Return the magnitude with the strongest colour, which several maps share: the 95th percentile of all magnitudes.

    The maximum is not used, because a single pair with a very large loss would leave all other cells nearly colourless.
    """
    sizes = np.abs(np.concatenate([matrix.ravel() for matrix in matrices]))
    known = sizes[~np.isnan(sizes)]
    # A limit of at least half a point keeps smaller differences nearly colourless.
    return max(0.005, float(np.percentile(known, 95)) if known.size else 0.0)


def pairs_map(values_PP: FloatArray, *, caption: str, limit: float, names: Sequence[str] = ()) -> HeatMap:
    """Return the map of a difference in points by student and teacher, with the means of rows and columns.

    Args:
        values_PP: (num_peers, num_peers) differences as fractions, NaN for a pair without a difference.
        caption: Title of the map.
        limit: The magnitude with the strongest colour.
        names: The name of each peer. If there are none, the peers have numbers, as in all maps of this module.
    """
    whole = _square(values_PP, names, caption=caption, limit=limit, write=points)
    rows = [(label, [*cells, _mean(values)]) for (label, cells), values in zip(whole.rows, values_PP, strict=True)]
    rows.append(("mean", [*(_mean(column) for column in values_PP.T), _mean(values_PP)]))
    return whole._replace(columns=[*whole.columns, "mean"], rows=rows)


def pair_counts_map(counts_PP: FloatArray, *, caption: str, names: Sequence[str] = ()) -> HeatMap:
    """Return the map of a count by student and teacher. The count of a pair without a value is NaN."""
    limit = max(1.0, float(np.nanmax(counts_PP, initial=0)))
    return _square(counts_PP, names, caption=caption, limit=limit, write=lambda count: f"{count:.0f}")


def class_counts_map(counts_PK: IntArray, class_names: Sequence[str], names: Sequence[str] = ()) -> HeatMap:
    """Return the map of each peer's training samples by class, with their sums."""
    return HeatMap(
        caption="Training samples of each peer by class",
        row_axis="peer",
        column_axis="class",
        columns=[*class_names, "all"],
        rows=[
            (name, [*(Cell(f"{count:,}", count) for count in counts), Cell(f"{sum(counts):,}")])
            for name, counts in zip(_labels(counts_PK, names), counts_PK.tolist(), strict=True)
        ],
        limit=max(1, int(counts_PK.max())),
    )


def lost_accuracy_map(lost: FloatArray, *, transfer_sets: Sequence[str], class_names: Sequence[str]) -> HeatMap:
    """Return the map of the accuracy that students lose by distillation, in points by transfer set and class.

    Args:
        lost: (num_transfer_sets, num_classes) fractions, NaN for a class without test samples.
        transfer_sets: Names of the rows.
        class_names: Names of the columns.
    """
    return HeatMap(
        caption="Accuracy lost by class, in points",
        row_axis="transfer set",
        column_axis="class",
        columns=list(class_names),
        rows=[
            (name, [Cell(magnitude(value), -value) for value in values])
            for name, values in zip(transfer_sets, lost.tolist(), strict=True)
        ],
        limit=shared_limit([lost]),
    )


def settings_map(cells: Sequence[Sequence[Cell]], *, dimensions: Sequence[str], names: Sequence[str] = ()) -> HeatMap:
    """Return the table of settings by student and teacher.

    Args:
        cells: What ``setting_cell`` returned for each student and teacher.
        dimensions: The names among ``learning_rate``, ``loss`` and ``target`` that the experiment tunes.
        names: What each peer is called.
    """
    labels = _labels(cells, names)
    *tuned, last = ["", *(name.replace("_", " ") for name in dimensions)]
    others = f" with {', '.join(tuned[1:])}{' and ' if tuned[1:] else ''}{last}" if last else ""
    caption = f"Temperature / alpha, and transfer set{others}"
    return HeatMap(
        caption, "student", "teacher", labels, [(label, [*row]) for label, row in zip(labels, cells, strict=True)]
    )


def setting_cell(
    transfer_set: str,
    temperature: float,
    alpha: float,
    dimensions: Mapping[str, float | str],
    *,
    epochs: int | None = None,
    is_default: bool = False,
    is_muted: bool = False,
) -> Cell:
    """Return the cell of one setting.

    Args:
        transfer_set: Name of the transfer set.
        temperature: Temperature of the distillation. It is not shown if the loss in ``dimensions`` sets the temperature
            itself.
        alpha: Weight as configured. A dash is shown if the transfer set has no labels.
        dimensions: The values of those of ``learning_rate``, ``loss`` and ``target`` that the experiment tunes, by
            name.
        epochs: Epochs after which to stop, or None if the choice names none.
        is_default: Whether the cell has the frame of the untuned default.
        is_muted: Whether the cell is grey and in italics.
    """
    small_print = [transfer_set, *map(value, dimensions.values())]
    if epochs is not None:
        small_print.append(f"{epochs} epochs")
    style = f"setting{' default' if is_default else ''}{' muted' if is_muted else ''}"
    weight = number(alpha) if TRANSFER_SETS[transfer_set].uses_labels else NO_ALPHA
    loss = dimensions.get("loss")
    softening = OWN_TEMPERATURE if isinstance(loss, str) and sets_temperature(loss) else number(temperature)
    return Cell(f"{softening} / {weight}", small_print=", ".join(small_print), style=style)


def remark_cell(remark: str) -> Cell:
    """Return the cell of a pair for which no setting was chosen. It shows the remark in small print."""
    return Cell("", small_print=remark, style="setting")


def _labels(rows: Sized, names: Sequence[str]) -> list[str]:
    return list(names) or [str(peer) for peer in range(len(rows))]


def _square(
    values_PP: FloatArray, names: Sequence[str], *, caption: str, limit: float, write: Callable[[float], str]
) -> HeatMap:
    labels = _labels(values_PP, names)
    rows = [
        (label, [Cell("" if math.isnan(value) else write(value), value) for value in values])
        for label, values in zip(labels, values_PP.tolist(), strict=True)
    ]
    return HeatMap(caption, "student", "teacher", labels, rows, limit)


def _mean(values: FloatArray) -> Cell:
    known = values[~np.isnan(values)]
    return Cell(points(float(known.mean())) if known.size else "")
