"""The dynamic temperature scheduler against the steps of its first author's code, written out."""

import math

import pytest

from peerkd.config.losses import loss_config
from peerkd.losses.pairs.dts import LOSS, scale
from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import distillation_term
from peerkd.training.own_temperature import OwnTemperature


def of_the_authors(temperature: float, *, progress: float, divergence: float) -> float:
    """Return the next T; ``divergence`` is the cross entropy of the teacher minus that of the student."""
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    adaptive_scale = divergence / (divergence + 1)
    target = 4.0 * cosine
    if adaptive_scale > 1:
        if adaptive_scale > 2:
            adaptive_scale = 1.35
        target *= adaptive_scale
    return 0.9 * temperature + 0.1 * min(max(target, 2.0), 4.0)


@pytest.mark.parametrize("divergence", [3.0, 0.5, 0.0, -0.5, -0.99, -1.01, -1.5, -1.99, -2.0, -2.01, -5.0, -100.0])
def test_it_is_the_rule_of_the_authors(divergence: float) -> None:
    own = OwnTemperature(distillation_term(LOSS))
    temperature = 4.0
    for step in range(1, 21):
        assert own.value == pytest.approx(temperature, rel=1e-12)
        own.step(StepFacts(step / 20, learning_rate=0.1, cross_entropy_gap=-divergence, temperature_slope=0.0))
        temperature = of_the_authors(temperature, progress=step / 20, divergence=divergence)


def test_a_student_that_is_far_behind_has_the_higher_temperature() -> None:
    assert [scale(gap) for gap in (-1.0, 0.0, 1.0, 1.5, 2.0, 3.0)] == [1.0, 1.0, 1.0, 1.35, 2.0, 1.5]


def test_a_first_temperature_beyond_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"initial_temperature must be from lowest_temperature 2 to .* 4, got 5\."):
        loss_config("dts", initial_temperature=5.0)
