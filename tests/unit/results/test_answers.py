"""Mixtures of the predictions of two peers, computed by a shortcut and compared with a computation for all samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.results.answers import WEIGHTS, Answers, on_validation


def by_looking_at_all(part: Answers, weight: float) -> np.ndarray:
    powers = np.exp(part.logits_PNK.astype(np.float64) - part.logits_PNK.max(axis=2, keepdims=True))
    shares = powers / powers.sum(axis=2, keepdims=True)
    mixed = (1 - weight) * shares[:, None] + weight * shares[None]
    right = shares.argmax(axis=2) == part.labels_N
    return (mixed.argmax(axis=3) == part.labels_N).mean(axis=2) - right.mean(axis=1)[:, None]


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(2, 7)),
    scale=st.sampled_from([0.0, 0.3, 3.0, 30.0, 1000.0]),
    num_decimals=st.sampled_from([0, 8]),
)
def test_the_gain_of_a_mixture_is_that_of_its_most_probable_classes(
    seed: int, shape: tuple[int, int, int], scale: float, num_decimals: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = (scale * rng.normal(size=shape)).round(num_decimals)
    part = Answers(logits, rng.integers(shape[2], size=shape[1]))
    measured = on_validation([part])
    for number, weight in enumerate(WEIGHTS):
        # Of equal probabilities the first counts, even if all are certain of one class and disagree.
        assert measured.mixture_gain_WPP[number] == pytest.approx(by_looking_at_all(part, weight), abs=1e-12)
