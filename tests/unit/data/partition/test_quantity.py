import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.quantity import dirichlet_sizes, equal_sizes


@given(num_peers=st.integers(1, 200), surplus=st.integers(0, 10_000))
def test_equal_sizes_sum_exactly_and_differ_by_at_most_one(num_peers: int, surplus: int) -> None:
    sizes = equal_sizes(num_peers + surplus, num_peers=num_peers)
    assert sizes.sum() == num_peers + surplus
    assert len(sizes) == num_peers
    assert np.ptp(sizes) <= 1


@given(num_peers=st.integers(1, 50), concentration=st.sampled_from([0.3, 1.0, 1e3, 1e6]), seed=st.integers(0, 1000))
def test_drawn_sizes_sum_exactly_and_respect_the_minimum(num_peers: int, concentration: float, seed: int) -> None:
    sizes = dirichlet_sizes(
        10**7,
        num_peers=num_peers,
        concentration=concentration,
        min_samples_per_peer=1,
        max_attempts=1000,
        rng=np.random.default_rng(seed),
    )
    assert sizes.sum() == 10**7
    assert len(sizes) == num_peers
    assert sizes.min() >= 1


def _draw(seed: int, *, concentration: float = 1.0) -> np.ndarray:
    return dirichlet_sizes(
        10_000,
        num_peers=10,
        concentration=concentration,
        min_samples_per_peer=20,
        max_attempts=1000,
        rng=np.random.default_rng(seed),
    )


def test_the_sizes_depend_only_on_the_seed() -> None:
    assert _draw(0).tolist() == _draw(0).tolist()
    assert _draw(0).tolist() != _draw(1).tolist()


def test_small_concentrations_are_more_unequal_than_large_ones() -> None:
    spread = [np.mean([_draw(seed, concentration=c).std() for seed in range(20)]) for c in (0.5, 5.0, 500.0)]
    assert spread[0] > 1.5 * spread[1] > 1.5 * 1.5 * spread[2]


def test_a_very_large_concentration_is_equal_up_to_a_fraction() -> None:
    np.testing.assert_allclose(_draw(0, concentration=1e8), 1000, atol=2)


def test_the_failure_states_the_acceptance_rate_and_what_to_change() -> None:
    message = (
        "None of 100 draws gave every peer at least 10 samples (less than 1 % are accepted): raise concentration "
        "(0.001), lower min_samples_per_peer or lower num_peers (100)."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        dirichlet_sizes(
            50_000,
            num_peers=100,
            concentration=0.001,
            min_samples_per_peer=10,
            max_attempts=100,
            rng=np.random.default_rng(0),
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_peers": 0}, "num_peers must be at least 1, got 0"),
        ({"min_samples_per_peer": 0}, "min_samples_per_peer must be at least 1, got 0"),
        ({"max_attempts": 0}, "max_attempts must be at least 1, got 0"),
        ({"concentration": 0.0}, "concentration must be from 1e-6 to 1e9, got 0.0"),
        ({"min_samples_per_peer": 51}, "num_samples must be at least num_peers * min_samples_per_peer = 102, got 100"),
    ],
)
def test_arguments_out_of_range_are_named(changed: dict[str, float], message: str) -> None:
    arguments = {"num_peers": 2, "concentration": 1.0, "min_samples_per_peer": 1, "max_attempts": 10} | changed
    with pytest.raises(ValueError, match=re.escape(message)):
        dirichlet_sizes(100, rng=np.random.default_rng(0), **arguments)


def test_equal_sizes_need_a_peer_and_a_sample_for_each() -> None:
    with pytest.raises(ValueError, match="num_peers must be at least 1, got 0"):
        equal_sizes(5, num_peers=0)
    with pytest.raises(ValueError, match="num_samples must be at least 6, got 5"):
        equal_sizes(5, num_peers=6)
