import math

import pytest

from peerkd.losses.online.ramp import ramp_weight


@pytest.mark.parametrize(
    ("epoch", "by_hand"), [(0, 0.0067379), (40, 0.2865048), (60, 0.7316156), (80, 1.0), (81, 1.0), (299, 1.0)]
)
def test_the_curve_is_that_of_the_paper(epoch: int, by_hand: float) -> None:
    assert ramp_weight(epoch, length_epochs=80, ceiling=1.0) == pytest.approx(by_hand, abs=1e-7)


def test_the_curve_is_a_gaussian_of_the_fraction_of_the_length() -> None:
    assert ramp_weight(0, length_epochs=80, ceiling=1.0) == math.exp(-5)
    assert ramp_weight(40, length_epochs=80, ceiling=1.0) == math.exp(-1.25)
    assert ramp_weight(5, length_epochs=10, ceiling=1.0) == math.exp(-1.25)


@pytest.mark.parametrize("epoch", [0, 1, 40, 79, 80, 200])
def test_the_ceiling_scales_the_curve_and_does_not_bend_it(epoch: int) -> None:
    of_one = ramp_weight(epoch, length_epochs=80, ceiling=1.0)
    assert ramp_weight(epoch, length_epochs=80, ceiling=0.1) == pytest.approx(0.1 * of_one, rel=1e-15)


def test_the_weight_never_falls() -> None:
    weights = [ramp_weight(epoch, length_epochs=80, ceiling=2.0) for epoch in range(120)]
    assert weights == sorted(weights)
    assert weights[79] < 2.0
    assert weights[80:] == [2.0] * 40


@pytest.mark.parametrize("epoch", [0, 1, 100])
def test_a_length_of_zero_gives_no_ramp(epoch: int) -> None:
    assert ramp_weight(epoch, length_epochs=0, ceiling=0.7) == 0.7
