import numpy as np

from peerkd.reporting import heatmaps
from peerkd.reporting.heatmaps import shared_limit

NAN = np.nan


def values(row):
    return [cell.value for cell in row[1]]


def test_the_map_of_pairs_has_students_as_rows_and_means_at_its_edges():
    heat_map = heatmaps.pairs_map(np.array([[NAN, 0.02], [-0.01, NAN]]), caption="c", limit=0.02)
    texts = [[cell.text for cell in cells] for _, cells in heat_map.rows]
    assert texts == [["", "+2.0", "+2.0"], ["-1.0", "", "-1.0"], ["-1.0", "+2.0", "+0.5"]]
    np.testing.assert_equal(values(heat_map.rows[0]), [NAN, 0.02, NAN])
    np.testing.assert_equal(values(heat_map.rows[2]), [NAN, NAN, NAN])
    assert heat_map.columns == [label for label, _ in heat_map.rows] == ["0", "1", "mean"]


def test_a_heat_map_without_values_is_empty():
    heat_map = heatmaps.pairs_map(np.full((2, 2), NAN), caption="c", limit=0.02)
    assert {cell.text for _, cells in heat_map.rows for cell in cells} == {""}


def test_one_outlier_does_not_make_the_other_pairs_colourless():
    usual = np.full((10, 10), 0.02)
    usual[0, 0] = -0.9
    assert shared_limit([usual, np.full((2, 2), NAN)]) == 0.02
    assert shared_limit([np.full((2, 2), NAN)]) == 0.005


def test_the_map_of_counts_has_no_means():
    heat_map = heatmaps.pair_counts_map(np.array([[NAN, 3.0], [0.0, NAN]]), caption="c")
    assert [[cell.text for cell in cells] for _, cells in heat_map.rows] == [["", "3"], ["0", ""]]
    assert heat_map.limit == 3
    assert heatmaps.pair_counts_map(np.full((2, 2), NAN), caption="c").limit == 1


def test_class_counts_have_their_sums():
    heat_map = heatmaps.class_counts_map(np.array([[0, 1200], [5, 7]]), ("cat", "dog"))
    assert heat_map.columns == ["cat", "dog", "all"]
    assert [cell.text for cell in heat_map.rows[0][1]] == ["0", "1,200", "1,200"]
    np.testing.assert_equal(values(heat_map.rows[0]), [0, 1200, NAN])
    assert heat_map.limit == 1200


def test_forgetting_is_drawn_as_a_loss_and_written_without_a_sign():
    lost = np.array([[0.1, 0.0, NAN]])
    heat_map = heatmaps.lost_accuracy_map(lost, transfer_sets=("both",), class_names=("a", "b", "c"))
    ((label, cells),) = heat_map.rows
    assert label == "both"
    assert [cell.text for cell in cells] == ["10.0", "0.0", "n/a"]
    np.testing.assert_equal([cell.value for cell in cells], [-0.1, -0.0, NAN])


def test_a_setting_has_its_details_in_small_print():
    usual = heatmaps.setting_cell("both", 4.0, 0.9, {}, is_default=True)
    assert (usual.text, usual.small_print, usual.style) == ("4 / 0.9", "both", "setting default")
    unlabelled = heatmaps.setting_cell("public_unlabelled", 4.0, 1.0, {})
    assert unlabelled.text == "4 / \N{EN DASH}"
    stopped = heatmaps.setting_cell("both", 4.0, 0.9, {"learning_rate": 0.08}, epochs=3, is_muted=True)
    assert (stopped.small_print, stopped.style) == ("both, 0.08, 3 epochs", "setting muted")


def test_peers_with_names_are_called_by_them():
    names = ("north", "south")
    maps = [
        heatmaps.pairs_map(np.array([[NAN, 0.02], [-0.01, NAN]]), caption="c", limit=0.02, names=names),
        heatmaps.pair_counts_map(np.array([[NAN, 3.0], [0.0, NAN]]), caption="c", names=names),
        heatmaps.settings_map([[heatmaps.Cell("")] * 2] * 2, dimensions=(), names=names),
        heatmaps.class_counts_map(np.array([[0, 1200], [5, 7]]), ("cat", "dog"), names),
    ]
    assert all([label for label, _ in each.rows][:2] == ["north", "south"] for each in maps)
    assert all(each.columns[:2] == ["north", "south"] for each in maps[:3])
