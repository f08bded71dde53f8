"""The rows of all pairs as arrays, against one pair after another."""

import numpy as np

from peerkd.results.pair_rows import NO_ROW, PairRows
from peerkd.study import ties

PAIRS = PairRows(
    student=np.array([0, 0, 1, 2]),
    teacher=np.array([1, 2, 0, 0]),
    pair=np.array([0, 0, 0, 1, 1, 3, 3, 3, 3]),
    row=np.array([1, 4, 6, 0, 4, 2, 3, 5, 6]),
)


def test_a_pair_may_have_no_rows_and_a_row_several_pairs():
    assert PAIRS.num_rows.tolist() == [3, 2, 0, 4]
    assert PAIRS.first.tolist() == [1, 0, NO_ROW, 2]
    kept = PAIRS.where(np.array([False, True, False, True, True, True, True]))
    assert [kept.row[kept.pair == pair].tolist() for pair in range(4)] == [[1, 4, 6], [4], [], [3, 5, 6]]
    assert PAIRS.as_matrix(np.arange(4), num_peers=3, missing=-1).tolist() == [[-1, 0, 1], [2, -1, -1], [3, -1, -1]]


def test_the_best_row_of_each_pair_is_that_of_the_rule_of_ties():
    rng = np.random.default_rng(0)
    for _ in range(50):
        # Few different values, some of which differ by less than the tolerance, and few ranks.
        values_N = rng.integers(3, size=7) / 10 + 0.4 * ties.SAME_ACCURACY * rng.integers(3, size=7)
        ranks_N = rng.integers(3, size=7)
        values_N[rng.random(7) < 0.1] = -np.inf
        rows = [PAIRS.row[PAIRS.pair == pair] for pair in range(4)]
        expected = [int(each[ties.best(values_N[each], ranks_N[each])]) if each.size else NO_ROW for each in rows]
        assert PAIRS.best(values_N, ranks_N).tolist() == expected
