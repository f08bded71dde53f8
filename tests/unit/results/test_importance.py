import numpy as np
import pytest

from peerkd.results.importance import importance


def test_shares_are_those_of_the_formula():
    gains = np.array([1.0, 2.0, 4.0, 7.0])
    a, b = ["x", "x", "y", "y"], [0, 1, 0, 1]
    mean = 3.5
    total = 2.5**2 + 1.5**2 + 0.5**2 + 3.5**2
    of_a = (2 * (1.5 - mean) ** 2 + 2 * (5.5 - mean) ** 2) / total
    of_b = (2 * (2.5 - mean) ** 2 + 2 * (4.5 - mean) ** 2) / total
    assert importance(gains, {"a": a, "b": b}) == pytest.approx({"a": of_a, "b": of_b})


def test_additive_effects_of_a_full_grid_explain_everything():
    a, b = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
    shares = importance((10 * a + b**2).ravel().astype(float), {"a": a.ravel().tolist(), "b": b.ravel().tolist()})
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["a"] > shares["b"]


def test_missing_gains_and_single_values_are_left_out():
    gains = np.array([1.0, np.nan, 3.0])
    assert importance(gains, {"one": [5, 5, 5], "gone": [1, 2, 1], "two": [None, 0, 0.5]}) == {"two": 1.0}
    assert importance(np.array([1.0, 1.0]), {"a": [0, 1]}) == {}
    assert importance(np.array([np.nan, 1.0]), {"a": [0, 1]}) == {}
