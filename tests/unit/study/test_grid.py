import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.study.grid import control_settings, omissions, settings
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


def test_every_loss_and_target_is_tried_with_every_setting_and_the_untuned_default_has_its_own() -> None:
    tried = settings(
        grid(
            temperatures=(4.0,),
            alphas=(0.9,),
            losses=("kl", "dkd"),
            default_loss="kl",
            targets=("mean+prior_adjusted",),
            default_target="teacher",
        ),
        "student",
    )
    assert tried == (
        Setting(4.0, 0.9, 0.9, None, "dkd", "mean+prior_adjusted"),
        Setting(4.0, 0.9, 0.9, None, "kl", "mean+prior_adjusted"),
        Setting(1.0, 0.5, 0.5, None, "kl", "teacher"),
    )


def test_a_loss_that_sets_its_temperature_is_tried_once_with_each_other_value() -> None:
    several = grid(
        temperatures=(2.0, 4.0), alphas=(0.5, 0.9), learning_rates=(0.1, 0.2), losses=("kl", "ctkd"), default_loss="kl"
    )
    tried = settings(several, "student")
    own = [each for each in tried if each.loss == "ctkd"]
    assert [(each.temperature, each.alpha, each.learning_rate) for each in own] == [
        *((1.0, alpha, 0.1) for alpha in (0.5, 0.9)),
        *((1.0, alpha, 0.2) for alpha in (0.5, 0.9)),
    ]
    assert {each.temperature for each in tried if each.loss == "kl"} == {1.0, 2.0, 4.0}
    sentence = (
        "ctkd sets its temperature itself, so no temperature of the grid is tried with it: its trials are listed with "
        "T = 1."
    )
    assert list(omissions(several)) == [sentence]
    alone = grid(recipe_loss="ctkd")
    assert settings(alone, "student") == settings(grid(temperatures=(1.0,)), "student")
    assert list(omissions(alone)) == [sentence]


def test_a_loss_that_excludes_sets_without_labels_for_its_temperature_is_omitted_there() -> None:
    several = grid(transfer_sets=("student", "public_unlabelled"), losses=("kl", "dts"), default_loss="kl")
    assert {each.loss for each in settings(several, "public_unlabelled")} == {"kl"}
    assert "dts needs labels, so it is not tried on public_unlabelled." in omissions(several)


def test_a_control_has_neither_loss_nor_target_so_that_it_is_trained_once() -> None:
    several = grid(losses=("kl", "dkd"), default_loss="kl", targets=("mean",), default_target="teacher")
    assert control_settings(several) == control_settings(grid())


def test_a_loss_that_needs_labels_is_omitted_where_there_are_none() -> None:
    several = grid(
        transfer_sets=("student", "public_unlabelled", "student_and_public"), losses=("kl", "dkd"), default_loss="kl"
    )
    assert {each.loss for each in settings(several, "student")} == {"kl", "dkd"}
    for name in ("public_unlabelled", "student_and_public"):
        assert {each.loss for each in settings(several, name)} == {"kl"}
    assert "dkd needs labels, so it is not tried on public_unlabelled and student_and_public." in omissions(several)


def test_losses_that_are_the_same_computation_at_one_temperature_are_tried_once_there() -> None:
    several = grid(temperatures=(1.0, 2.0), alphas=(0.3, 0.5), losses=("ttm", "wttm", "kl"), default_loss="kl")
    tried = settings(several, "student")
    assert {each.loss for each in tried if each.temperature == 1} == {"kl"}
    assert {each.loss for each in tried if each.temperature == 2} == {"ttm", "wttm", "kl"}
    assert list(omissions(several)) == [
        f"{name} at T = 1 is the same computation as kl, so only kl is tried there." for name in ("ttm", "wttm")
    ]
    without_kl = grid(temperatures=(1.0,), alphas=(0.3,), losses=("wttm", "ttm"), default_loss="wttm")
    assert {each.loss for each in settings(without_kl, "student")} == {"wttm"}


def test_a_grid_without_losses_and_targets_omits_nothing() -> None:
    assert list(omissions(grid())) == []


def test_the_grid_of_an_experiment_names_a_default_loss_and_target_only_if_there_are_several() -> None:
    overrides = "sweep.losses=[dkd] sweep.targets=[class_counts+prior_adjusted] distill.target.kind=mean"
    several = resolve(JOINTKD, preset="digits", overrides=overrides).grid
    assert several == grid(
        losses=("dkd",), default_loss="kl", targets=("class_counts+prior_adjusted",), default_target="mean"
    )
