import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peerkd.seeds import derive_seed, generator


def test_a_seed_is_the_same_on_every_machine_and_in_every_release() -> None:
    # printf '0' | sha256sum, first 16 digits, halved.
    assert derive_seed(0) == 0x5FECEB66FFC86F38 >> 1
    # printf '7\x1forder\x1fpeer-3\x1f2' | sha256sum, first 16 digits, halved.
    assert derive_seed(7, "order", "peer-3", 2) == 0xD2AA9DCB439B2C47 >> 1


def test_a_generator_draws_the_same_on_every_machine_and_in_every_release() -> None:
    assert generator(0, "test").integers(1000, size=4).tolist() == [878, 812, 435, 890]


@given(seed=st.integers(), purpose=st.lists(st.text() | st.integers()))
def test_a_seed_fits_in_sixty_three_bits(seed: int, purpose: list[str | int]) -> None:
    assert 0 <= derive_seed(seed, *purpose) < 2**63


def test_distinct_purposes_and_seeds_are_distinct_streams() -> None:
    purposes: list[tuple[str | int, ...]] = [
        (), ("order",), ("orde", "r"), ("order", 0), ("order", 1), ("order", "0", 1), ("order", 10), ("order", 1, 0),
        (0,), (0, 0), ("",), ("", ""),
    ]  # fmt: skip
    seeds = [derive_seed(seed, *purpose) for seed in (0, 1, 10) for purpose in purposes]
    assert len(set(seeds)) == len(seeds)


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    first = generator(0, "a").random(3)
    generator(0, "b").random(100)
    np.random.default_rng(0).random(100)
    np.testing.assert_array_equal(generator(0, "a").random(3), first)


def test_streams_of_neighbouring_epochs_are_unrelated() -> None:
    draws_EN = np.stack([generator(0, "order", epoch).standard_normal(2000) for epoch in range(10)])
    correlations_EE = np.corrcoef(draws_EN) - np.eye(10)
    assert abs(correlations_EE).max() < 5 / np.sqrt(2000)
