import numpy as np
import pytest

from peerkd.results.bands import band, since, thin
from peerkd.results.curves import Curve


def curve(epochs, values):
    return Curve(np.array(epochs), np.array(values, dtype=float))


def test_a_band_is_mean_and_extremes_where_all_have_a_value():
    found = band([curve([1, 2, 3], [1, 2, np.nan]), curve([2, 3, 4], [4, 5, 6])])
    assert found.epochs.tolist() == [2]
    assert (found.mean[0], found.low[0], found.high[0]) == (3, 2, 4)


def test_nothing_in_common_is_no_band():
    assert band([]) is None
    assert band([curve([1], [1]), curve([2], [1])]) is None
    assert band([curve([1, 2], [np.nan, np.nan])]) is None


@pytest.mark.parametrize("num", [2, 7, 80])
def test_a_thin_band_keeps_both_ends(num):
    whole = band([curve(range(1, 301), range(300))])
    part = thin(whole, num=num)
    assert len(part.epochs) == num
    assert (part.epochs[0], part.epochs[-1]) == (1, 300)
    assert thin(part, num=num) is part


def test_a_band_can_begin_later_and_is_never_empty():
    whole = band([curve([1, 5, 9], [1, 2, 3])])
    assert since(whole, epoch=2).epochs.tolist() == [5, 9]
    assert since(whole, epoch=0).epochs.tolist() == [1, 5, 9]
    assert since(whole, epoch=10).epochs.tolist() == [9]
