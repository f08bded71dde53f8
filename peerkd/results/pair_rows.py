"""The rows of the table of trials that belong to each ordered pair, as arrays over all pairs.

Shape suffixes: Q = ordered pairs, R = entries (a pair and one of its rows), N = rows of the table, P = peers.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.study import ties

NO_ROW: Final = -1
"""The row number for a row that does not exist, such as on the diagonal of a matrix of pairs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairRows:
    """The rows of the table of trials that belong to each pair.

    A row that belongs to several pairs has an entry for each of them.
    """

    student: IntArray
    """(Q,) the student of each pair."""

    teacher: IntArray
    """(Q,) the teacher of each pair."""

    pair: IntArray
    """(R,) the index of the pair of each entry, ascending."""

    row: IntArray
    """(R,) the row number of each entry, ascending within a pair."""

    @property
    def num_pairs(self) -> int:
        """The number of pairs, with or without rows."""
        return len(self.student)

    @property
    def first(self) -> IntArray:
        """(Q,) the number of the first row of each pair. ``NO_ROW`` for a pair that has no rows."""
        first_Q = np.full(self.num_pairs, NO_ROW, dtype=np.int64)
        is_first_R = np.diff(self.pair, prepend=-1) != 0
        first_Q[self.pair[is_first_R]] = self.row[is_first_R]
        return first_Q

    @property
    def num_rows(self) -> IntArray:
        """(Q,) the number of rows of each pair."""
        return np.bincount(self.pair, minlength=self.num_pairs)

    def where(self, is_kept_N: BoolArray) -> "PairRows":
        """Return the same pairs with only some of the rows of the table."""
        return self.only(is_kept_N[self.row])

    def only(self, is_kept_R: BoolArray) -> "PairRows":
        """Return the same pairs with only some of the entries."""
        return replace(self, pair=self.pair[is_kept_R], row=self.row[is_kept_R])

    def best(self, values_N: FloatArray, ranks_N: IntArray) -> IntArray:
        """Return the number of the row with the best value of each pair, by the rule of ``ties.best``, of shape (Q,).

        The number is ``NO_ROW`` for a pair that has no rows.

        Args:
            values_N: The value of each row of the table, such as a gain. The values of the rows of pairs are not NaN.
            ranks_N: The result of ``ties.ranks`` for each row of the table.
        """
        values_R, num_all = values_N[self.row], len(values_N)
        highest_Q = np.full(self.num_pairs, -np.inf)
        np.maximum.at(highest_Q, self.pair, values_R)
        is_tied_R = ties.is_at_least(values_R, highest_Q[self.pair])
        # The lowest rank wins a tie, and then the first row.
        keys_R = ranks_N[self.row[is_tied_R]] * num_all + self.row[is_tied_R]
        none = np.iinfo(np.int64).max
        lowest_Q = np.full(self.num_pairs, none)
        np.minimum.at(lowest_Q, self.pair[is_tied_R], keys_R)
        return np.where(lowest_Q == none, NO_ROW, lowest_Q % max(num_all, 1))

    def as_matrix(self, values_Q: IntArray, *, num_peers: int, missing: int) -> IntArray:
        """Return values of pairs as a matrix of shape (num_peers, num_peers).

        A row belongs to a student, and a column to a teacher.

        ``missing`` is the entry for two peers that are not among the pairs.
        """
        matrix_PP = np.full((num_peers, num_peers), missing, dtype=np.int64)
        matrix_PP[self.student, self.teacher] = values_Q
        return matrix_PP
