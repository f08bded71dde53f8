"""Tables with given row and column sums: fit one to a target, then make it whole numbers."""

import numpy as np

from peerkd.data.partition.arrays import FloatArray, IntArray

MAX_FITTING_STEPS = 1000
"""Far more than typical targets need; what is left after them is spread, so the bound costs no exactness."""

FITTING_TOLERANCE_SAMPLES = 0.5
"""Rounding to whole samples hides any smaller error."""


def fit_margins(target: FloatArray, *, row_sums: IntArray, column_sums: IntArray) -> FloatArray:
    """Return the table with the given sums that is nearest to ``target`` in relative entropy.

    Iterative proportional fitting (Deming and Stephan 1940; Csiszar 1975 for
    what it minimises): rows and columns are scaled in turn. The odds ratios of
    the target are kept, so its structure is. What bounded scaling leaves open
    is added as a rank-one table (Altschuler et al. 2017, arXiv:1705.09634,
    algorithm 2), which makes both sums exact but for floating point.

    Args:
        target: (num_rows, num_columns) positive.
        row_sums: (num_rows,) positive.
        column_sums: (num_columns,) positive, with the same total.

    Returns:
        (num_rows, num_columns) non-negative.
    """
    table = target.copy()
    for _ in range(MAX_FITTING_STEPS):
        table *= column_sums / table.sum(axis=0)
        row_totals = table.sum(axis=1)
        if np.abs(row_totals - row_sums).max() < FITTING_TOLERANCE_SAMPLES:
            break
        table *= (row_sums / row_totals)[:, np.newaxis]
    table *= np.minimum(row_sums / table.sum(axis=1), 1)[:, np.newaxis]
    table *= np.minimum(column_sums / table.sum(axis=0), 1)
    row_gaps = np.maximum(row_sums - table.sum(axis=1), 0)
    column_gaps = np.maximum(column_sums - table.sum(axis=0), 0)
    if row_gaps.sum() > 0:
        table += np.outer(row_gaps, column_gaps / row_gaps.sum())
    return table


def round_to_margins(table: FloatArray, *, row_sums: IntArray, column_sums: IntArray) -> IntArray:
    """Return whole numbers near ``table`` with exactly the given sums.

    Every cell gets its whole part. The largest remainders then get one more
    while their row and their column both have room. Where rows and columns
    with room no longer meet in an unused remainder, each such row takes what
    it lacks from the columns it has most of.

    Args:
        table: (num_rows, num_columns) non-negative, each sum less than one from the given one.
        row_sums: (num_rows,) what each row must sum to.
        column_sums: (num_columns,) what each column must sum to.
    """
    counts = np.floor(table).astype(np.int64)
    remainders = (table - counts).ravel()
    row_room = (row_sums - counts.sum(axis=1)).tolist()
    column_room = (column_sums - counts.sum(axis=0)).tolist()
    cells = np.argsort(-remainders, kind="stable")[: np.count_nonzero(remainders)]
    rows, columns = np.unravel_index(cells, table.shape)
    rounded_up = []
    # Plain lists: each step depends on the one before, and indexing arrays one by one is slow.
    for cell, row, column in zip(cells.tolist(), rows.tolist(), columns.tolist(), strict=True):
        if row_room[row] and column_room[column]:
            row_room[row] -= 1
            column_room[column] -= 1
            rounded_up.append(cell)
    counts.flat[rounded_up] += 1
    for row in np.flatnonzero(row_room):
        for column in np.argsort(-table[row], kind="stable"):
            moved = min(row_room[row], column_room[column])
            row_room[row] -= moved
            column_room[column] -= moved
            counts[row, column] += moved
    return counts
