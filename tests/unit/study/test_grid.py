import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.study.grid import control_settings, settings
from peerkd.study.trials import Setting
from tests.unit.study.grids import grid


def test_the_untuned_default_is_tried_even_if_the_grid_lacks_it() -> None:
    tried = settings(grid(temperatures=(2.0,), alphas=(0.9,)), "student")
    assert tried == (Setting(1.0, 0.5, 0.5), Setting(2.0, 0.9, 0.9))


def test_a_weight_of_zero_in_the_grid_is_no_distillation() -> None:
    assert [each.alpha for each in settings(grid(temperatures=(1.0,), alphas=(0.0, 0.5)), "student")] == [0.5]


@pytest.mark.parametrize(("alpha_weighs", "alpha"), [("distillation", 1.0), ("cross_entropy", 0.0)])
def test_without_labels_the_divergence_is_the_whole_loss(alpha_weighs: str, alpha: float) -> None:
    tried = settings(grid(temperatures=(1.0, 4.0), alpha_weighs=alpha_weighs), "public_unlabelled")
    assert tried == (Setting(1.0, alpha, 1.0), Setting(4.0, alpha, 1.0))


def test_alpha_can_weigh_the_cross_entropy() -> None:
    weighed = grid(alphas=(0.2,), alpha_weighs="cross_entropy")
    assert Setting(4.0, 0.2, 0.8) in settings(weighed, "student")
    assert control_settings(weighed) == (Setting(None, 1.0, 0.0),)


def test_every_setting_and_the_control_are_tried_at_every_rate_and_the_default_at_its_own() -> None:
    rates = grid(temperatures=(4.0,), alphas=(0.9,), learning_rates=(0.1, 0.005), default_learning_rate=0.02)
    assert settings(rates, "student") == (
        Setting(4.0, 0.9, 0.9, 0.005),
        Setting(1.0, 0.5, 0.5, 0.02),
        Setting(4.0, 0.9, 0.9, 0.1),
    )
    assert control_settings(rates) == tuple(Setting(None, 0.0, 0.0, rate) for rate in (0.005, 0.02, 0.1))


def test_the_grid_of_an_experiment_names_a_default_rate_only_if_there_are_several() -> None:
    plain = resolve(JOINTKD, preset="digits", overrides="distill.conventions.alpha_weighs=cross_entropy").grid
    assert plain == grid(alpha_weighs="cross_entropy")
    rates = resolve(JOINTKD, preset="digits", overrides="sweep.learning_rates=[0.1] distill.learning_rate=0.02").grid
    assert rates == grid(learning_rates=(0.1,), default_learning_rate=0.02)
