import numpy as np
import pytest

from peerkd.config.training import ConventionsConfig
from peerkd.reporting import wording
from peerkd.results.intervals import Estimate


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0123, "+1.2"), (-0.5, "-50.0"), (0.0004, "0.0"), (-0.0004, "0.0"), (np.nan, "n/a")]
)
def test_points_have_a_sign_unless_they_are_zero(fraction, text):
    assert wording.points(fraction) == text


def test_an_interval_that_does_not_exist_says_so():
    assert wording.interval(Estimate(0.1, 0.05, 0.15, 90)) == "+5.0 to +15.0"
    assert wording.interval(Estimate(0.1, np.nan, np.nan, 2)) == "no interval"


def test_a_share_of_pairs_is_a_count():
    assert wording.share_of(Estimate(23 / 90, 0.1, 0.3, 90)) == "23 of 90"
    assert wording.share_of(Estimate(np.nan, np.nan, np.nan, 0)) == "n/a"


def test_settings_are_written_as_short_as_possible():
    assert wording.setting("both", 4.0, 0.1) == "transfer set both, T=4, alpha=0.1"
    assert wording.default_setting("student") == "transfer set student, T=1, alpha=0.5"
    assert "no cross entropy" in wording.default_setting("public_unlabelled")


def test_the_formula_follows_the_conventions():
    assert wording.loss_formula(ConventionsConfig()).startswith("loss = w * T^2 * KL(p || q) + (1 - w) * CE")
    other = ConventionsConfig(divergence_direction="student_to_teacher", scale_by_temperature_squared=False)
    assert wording.loss_formula(other).startswith("loss = w * KL(q || p) + (1 - w) * CE")


def test_every_convention_changes_a_sentence():
    usual = wording.conventions_in_words(ConventionsConfig())
    for change in (
        {"divergence_direction": "student_to_teacher"},
        {"reduction": "mean"},
        {"scale_by_temperature_squared": False},
        {"teacher_mode": "train"},
        {"alpha_weighs": "cross_entropy"},
    ):
        assert wording.conventions_in_words(ConventionsConfig(**change)) != usual
