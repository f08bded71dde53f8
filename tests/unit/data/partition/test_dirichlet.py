import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.dirichlet import partition_dirichlet
from peerkd.data.partition.skew import class_counts, jensen_shannon_distance

CONCENTRATIONS = [1e-6, 1e-3, 1e-2, 0.1, 1.0, 100.0, 1e6, 1e9]


@given(
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=12),
    num_classes=st.integers(1, 12),
    imbalance=st.floats(1, 5),
    concentration=st.sampled_from(CONCENTRATIONS),
    seed=st.integers(0, 1000),
)
def test_parts_are_disjoint_complete_and_of_the_exact_sizes(
    sizes: list[int], num_classes: int, imbalance: float, concentration: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # The powers of a uniform variable put most samples into the first class if the imbalance is 5.
    labels = np.floor(num_classes * rng.random(sum(sizes)) ** imbalance).astype(np.int64)
    parts = partition_dirichlet(labels, sizes=np.array(sizes), concentration=concentration, rng=rng)
    check_partition(parts, num_samples=sum(sizes))
    assert [len(part) for part in parts] == sizes


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_a_class_or_a_peer_may_have_a_single_sample(concentration: float) -> None:
    labels = np.array([7] + [3] * 5000 + [-2] * 99)
    sizes = np.array([1, 5098, 1])
    parts = partition_dirichlet(labels, sizes=sizes, concentration=concentration, rng=np.random.default_rng(0))
    check_partition(parts, num_samples=5100)
    assert [len(part) for part in parts] == sizes.tolist()


def _class_counts(*, concentration: float, sizes: np.ndarray, num_classes: int = 10, seed: int = 0) -> np.ndarray:
    labels = np.arange(sizes.sum()) % num_classes
    parts = partition_dirichlet(labels, sizes=sizes, concentration=concentration, rng=np.random.default_rng(seed))
    return class_counts(labels, parts, num_classes=num_classes)


def test_the_split_depends_only_on_the_seed() -> None:
    def split(seed: int) -> list[list[int]]:
        parts = partition_dirichlet(
            np.arange(500) % 10, sizes=np.full(5, 100), concentration=0.5, rng=np.random.default_rng(seed)
        )
        return [part.tolist() for part in parts]

    assert split(0) == split(0)
    assert split(0) != split(1)


@pytest.mark.parametrize("sizes", [np.full(10, 5000), np.array([500] * 9 + [45_500])], ids=["equal", "unequal"])
def test_smaller_concentrations_are_more_skewed(sizes: np.ndarray) -> None:
    num_pairs = len(sizes) * (len(sizes) - 1)
    distances = [
        np.mean(
            [
                jensen_shannon_distance(_class_counts(concentration=c, sizes=sizes, seed=seed)).sum() / num_pairs
                for seed in range(5)
            ]
        )
        for c in (0.01, 0.1, 1.0, 10.0, 1e4)
    ]
    assert all(skewed > even + 0.05 for skewed, even in itertools.pairwise(distances))
    assert distances[-1] < 0.03


def test_a_large_concentration_gives_every_peer_the_proportions_of_the_whole() -> None:
    labels = np.repeat([0, 1, 2], [6000, 3000, 1000])
    parts = partition_dirichlet(labels, sizes=np.full(10, 1000), concentration=1e6, rng=np.random.default_rng(0))
    np.testing.assert_allclose(class_counts(labels, parts, num_classes=3), [[600, 300, 100]] * 10, atol=5)


@pytest.mark.parametrize("concentration", [0.1, 0.5, 2.0])
def test_with_many_peers_the_proportions_have_the_spread_of_the_stated_dirichlet(concentration: float) -> None:
    counts = _class_counts(concentration=concentration, sizes=np.full(400, 500))
    # Dir(concentration * ones(10)): variance of one proportion is (1/10)(9/10) / (10 concentration + 1).
    expected = 0.09 / (10 * concentration + 1)
    np.testing.assert_allclose((counts / 500).var(), expected, rtol=0.15)


def test_the_draws_are_centred_on_the_class_proportions_of_the_whole() -> None:
    labels = np.repeat([0, 1], [180_000, 20_000])
    rng = np.random.default_rng(0)
    parts = partition_dirichlet(labels, sizes=np.full(400, 500), concentration=2.0, rng=rng)
    # Dir(2 * 2 * (0.9, 0.1)): variance 0.9 * 0.1 / (4 + 1). A symmetric Dir(2, 2) would have two thirds of it.
    variance = (class_counts(labels, parts, num_classes=2)[:, 1] / 500).var()
    np.testing.assert_allclose(variance, 0.09 / 5, rtol=0.15)


def test_with_a_tiny_concentration_most_peers_have_nearly_one_class() -> None:
    counts = _class_counts(concentration=1e-3, sizes=np.full(100, 500))
    largest_fraction = counts.max(axis=1) / 500
    assert np.median(largest_fraction) > 0.99
    assert largest_fraction.mean() > 0.9


def test_the_skew_does_not_depend_on_the_order_of_the_peers() -> None:
    # The procedure of Hsu et al. assigns the remaining samples to the last peers.
    largest = np.mean(
        [_class_counts(concentration=0.3, sizes=np.full(10, 500), seed=s).max(axis=1) / 500 for s in range(100)], axis=0
    )
    # The standard error is about 0.015 per peer.
    assert np.ptp(largest) < 0.08


def test_a_peer_larger_than_a_class_gets_its_next_classes_in_the_order_of_its_draw() -> None:
    counts = _class_counts(concentration=1e-3, sizes=np.full(5, 2000))
    # A peer of 2000 needs at least two of ten classes of 1000. Equal parts of the others would give it all ten.
    assert np.sort(counts, axis=1)[:, -3:].sum(axis=1).min() > 0.9 * 2000


def test_arguments_out_of_range_are_named() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(10, dtype=int)
    with pytest.raises(ValueError, match="concentration must be from 1e-6 to 1e9, got nan"):
        partition_dirichlet(labels, sizes=np.array([5, 5]), concentration=float("nan"), rng=rng)
    with pytest.raises(ValueError, match="sizes must sum to the 10 samples, got 11"):
        partition_dirichlet(labels, sizes=np.array([5, 6]), concentration=1.0, rng=rng)
    with pytest.raises(ValueError, match="labels must be a non-empty vector of integers"):
        partition_dirichlet(labels.astype(float), sizes=np.array([5, 5]), concentration=1.0, rng=rng)
