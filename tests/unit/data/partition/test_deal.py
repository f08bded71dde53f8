import numpy as np

from peerkd.data.partition.deal import deal_classes, group_by_owner, shuffled_by_class


def test_each_part_gets_the_counted_samples_of_each_class() -> None:
    classes = np.array([1, 0, 1, 1, 0, 2])
    counts = np.array([[1, 2, 0], [1, 1, 1]])
    parts = deal_classes(classes, counts, rng=np.random.default_rng(0))
    assert [np.bincount(classes[part], minlength=3).tolist() for part in parts] == counts.tolist()


def test_every_sample_of_a_class_is_equally_likely_to_go_to_a_part() -> None:
    rng = np.random.default_rng(0)
    classes = np.zeros(5, dtype=np.int64)
    num_taken = sum(
        np.bincount(deal_classes(classes, np.array([[2], [3]]), rng=rng)[0], minlength=5) for _ in range(2000)
    )
    # 2000 draws at probability 2/5: standard deviation 22.
    assert np.abs(num_taken - 800).max() < 100


def test_indices_are_ordered_by_label_and_shuffled_within_it() -> None:
    labels = np.repeat([3, 1], 50)
    order = shuffled_by_class(labels, rng=np.random.default_rng(0))
    assert labels[order].tolist() == [1] * 50 + [3] * 50
    assert sorted(order.tolist()) == list(range(100))
    assert order[:50].tolist() != list(range(50, 100))


def test_indices_of_an_owner_are_ascending_and_may_be_empty() -> None:
    parts = group_by_owner(np.array([2, 0, 2, 0]), num_owners=4)
    assert [part.tolist() for part in parts] == [[1, 3], [], [0, 2], []]
