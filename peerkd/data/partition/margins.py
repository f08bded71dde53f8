"""Tables with given row and column sums (margins): fitting to a target, and rounding to whole numbers."""

import numpy as np

from peerkd.arrays import FloatArray, IntArray

MAX_FITTING_STEPS = 1000
"""The limit on the steps of iterative proportional fitting. Typical targets need far fewer. If the limit is reached,
the final correction makes the sums exact."""

FITTING_TOLERANCE_SAMPLES = 0.5
"""The error of the sums, in samples, at which fitting stops. Smaller errors vanish when the table is rounded."""


def fit_margins(target: FloatArray, *, row_sums: IntArray, column_sums: IntArray) -> FloatArray:
    """Return the table with the given sums that is nearest to ``target`` in relative entropy.

    Iterative proportional fitting (Deming and Stephan 1940) scales rows and columns in turn, which keeps the odds
    ratios of the target. Csiszar 1975 proves that the table to which this method converges minimises the relative
    entropy. The number of steps is limited, so the sums of the table can still differ from the given sums. A table of
    rank one is then added (Altschuler et al. 2017, arXiv:1705.09634, algorithm 2). It makes the sums of rows and
    columns exact, up to floating-point error.

    Args:
        target: (num_rows, num_columns) positive.
        row_sums: (num_rows,) positive.
        column_sums: (num_columns,) positive, with the same total as ``row_sums``.

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
    # Algorithm 2: scale the rows and then the columns that are too large down to their sums. The remaining gaps are
    # non-negative and have the same total in rows and columns, so that their scaled outer product fills both.
    table *= np.minimum(row_sums / table.sum(axis=1), 1)[:, np.newaxis]
    table *= np.minimum(column_sums / table.sum(axis=0), 1)
    row_gaps = np.maximum(row_sums - table.sum(axis=1), 0)
    column_gaps = np.maximum(column_sums - table.sum(axis=0), 0)
    if row_gaps.sum() > 0:
        table += np.outer(row_gaps, column_gaps / row_gaps.sum())
    return table


def round_to_margins(table: FloatArray, *, row_sums: IntArray, column_sums: IntArray) -> IntArray:
    """Return whole numbers near ``table`` with exactly the given sums.

    Every cell is rounded down. In descending order of the remainders, a cell is then rounded up if its row and its
    column are both below their sums. After that, a row may still be below its sum. The missing number is then added to
    cells of the row whose columns are below their sums too, beginning with the largest cell of the row.

    Args:
        table: (num_rows, num_columns) non-negative. The sum of each row and column differs from its exact sum by less
            than 1.
        row_sums: (num_rows,) exact sum of each row.
        column_sums: (num_columns,) exact sum of each column.
    """
    counts = np.floor(table).astype(np.int64)
    remainders = (table - counts).ravel()
    row_room = (row_sums - counts.sum(axis=1)).tolist()
    column_room = (column_sums - counts.sum(axis=0)).tolist()
    cells = np.argsort(-remainders, kind="stable")[: np.count_nonzero(remainders)]
    rows, columns = np.unravel_index(cells, table.shape)
    rounded_up = []
    # Plain lists are faster than arrays here, because each step depends on the previous one.
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
