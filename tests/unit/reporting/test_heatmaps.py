import numpy as np

from peerkd.reporting.heatmaps import class_accuracy_lost_data, class_counts_data, pairs_data, shared_limit

NAN = np.nan


def test_the_map_of_pairs_has_students_as_rows_and_means_at_its_edges():
    heat_map = pairs_data(np.array([[NAN, 0.02], [-0.01, NAN]]), caption="c", limit=0.02)
    texts = [[cell.text for cell in cells] for _, cells in heat_map.rows]
    assert texts == [["", "+2.0", "+2.0"], ["-1.0", "", "-1.0"], ["-1.0", "+2.0", "+0.5"]]
    classes = [[cell.css_class for cell in cells] for _, cells in heat_map.rows]
    assert classes == [["", "p7", ""], ["n4", "", ""], ["", "", ""]]
    assert heat_map.columns == [label for label, _ in heat_map.rows] == ["0", "1", "mean"]


def test_a_map_of_nothing_is_empty():
    heat_map = pairs_data(np.full((2, 2), NAN), caption="c", limit=0.02)
    assert {cell.text for _, cells in heat_map.rows for cell in cells} == {""}


def test_one_collapsed_pair_does_not_take_the_colour_from_the_others():
    usual = np.full((10, 10), 0.02)
    usual[0, 0] = -0.9
    assert shared_limit([usual, np.full((2, 2), NAN)]) == 0.02
    assert shared_limit([np.full((2, 2), NAN)]) == 0.005


def test_class_counts_have_their_sums():
    heat_map = class_counts_data(np.array([[0, 1200], [5, 7]]), ("cat", "dog"))
    assert heat_map.columns == ["cat", "dog", "all"]
    assert [cell.text for cell in heat_map.rows[0][1]] == ["0", "1,200", "1,200"]
    assert heat_map.rows[0][1][1].css_class == "p7"


def test_lost_accuracy_is_orange_and_has_no_sign():
    lost = np.array([[0.1, 0.0, NAN]])
    (label, cells), *_ = class_accuracy_lost_data(lost, transfer_sets=("both",), class_names=("a", "b", "c")).rows
    assert label == "both"
    assert [cell.text for cell in cells] == ["10.0", "0.0", "n/a"]
    assert cells[0].css_class.startswith("n")
    assert [cell.css_class for cell in cells[1:]] == ["z", ""]
