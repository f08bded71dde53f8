import math

import pytest

from peerkd.results.intervals import Estimate
from peerkd.results.seeds import paired_difference, spread, verdict


def test_mean_and_standard_deviation_are_those_of_a_sample():
    # By hand: squared distances from 3 are 4, 1, 0, 1, 4; 10 / 4 = 2.5.
    assert spread([1, 2, 3, 4, 5]) == pytest.approx((3, math.sqrt(2.5), 5))


def test_one_seed_has_a_mean_and_no_deviation():
    mean, deviation, num = spread([0.5])
    assert (mean, num) == (0.5, 1)
    assert math.isnan(deviation)
    assert math.isnan(spread([]).mean)


def test_five_seeds_have_the_interval_of_four_degrees_of_freedom():
    second = dict.fromkeys(range(5), 10.0)
    first = {seed: 11.0 + seed for seed in range(5)}  # differences 1 to 5
    found = paired_difference(first, second)
    half_width = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half_width, 3 + half_width), rel=1e-6)
    assert found.num == 5
    assert verdict(found) == "above"


def test_two_seeds_have_the_interval_of_one_degree_of_freedom():
    found = paired_difference({0: 1.0, 1: 2.0}, {0: 0.0, 1: 0.0})
    assert found.high - found.value == pytest.approx(12.7062 * math.sqrt(0.5) / math.sqrt(2), rel=1e-5)
    assert verdict(found) == "undecided"


def test_differences_are_paired_by_seed():
    found = paired_difference({0: 0.9, 1: 0.5, 2: 0.7}, {1: 0.4, 0: 0.7, 7: 0.1})
    assert found.num == 2
    assert found.value == pytest.approx(0.15)


def test_one_seed_has_no_interval_and_no_verdict():
    found = paired_difference({0: 0.9}, {0: 0.1})
    assert found.value == pytest.approx(0.8)
    assert math.isnan(found.low)
    assert verdict(found) == "undecided"


def test_equal_differences_have_no_interval():
    found = paired_difference({0: 0.3, 1: 0.6, 2: 0.9}, {0: 0.1, 1: 0.4, 2: 0.7})
    assert math.isnan(found.low)
    assert verdict(found) == "undecided"


def test_methods_without_a_common_seed_are_not_an_error():
    found = paired_difference({0: 0.3}, {1: 0.3})
    assert math.isnan(found.value)
    assert found.num == 0


def test_a_verdict_requires_the_whole_interval_on_one_side_of_zero():
    assert verdict(Estimate(0.2, 0.1, 0.3, 5)) == "above"
    assert verdict(Estimate(-0.2, -0.3, -0.1, 5)) == "below"
    assert verdict(Estimate(0.2, -0.1, 0.5, 5)) == "undecided"
