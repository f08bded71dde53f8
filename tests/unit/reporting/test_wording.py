import numpy as np
import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.losses import loss_config, loss_section
from peerkd.config.targets import TargetConfig
from peerkd.config.training import ConventionsConfig, DistillConfig
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.reporting import wording
from peerkd.results.grid_edges import GridEdge
from peerkd.results.intervals import Estimate
from peerkd.study.defaults import UntunedDefault
from tests.pair_losses import WEIGHTED_BRIER


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
    assert wording.default_setting(UntunedDefault("student")) == "transfer set student, T=1, alpha=0.5"
    assert (
        wording.default_setting(UntunedDefault("public_unlabelled"))
        == "transfer set public_unlabelled, T=1, divergence alone"
    )


def test_a_setting_without_labels_names_no_alpha_whatever_alpha_weighs():
    expected = "transfer set public_unlabelled, T=4, divergence alone, learning rate 0.02"
    assert {wording.setting("public_unlabelled", 4.0, alpha, 0.02) for alpha in (0.0, 1.0)} == {expected}


@pytest.mark.parametrize(
    ("transfer_sets", "text"),
    [
        (("student",), "T=1, alpha=0.5"),
        (("student", "public_unlabelled"), "T=1, alpha=0.5 (without labels, divergence alone)"),
        (("public_unlabelled",), "T=1, divergence alone"),
    ],
)
def test_the_default_is_that_of_the_transfer_sets(transfer_sets, text):
    assert wording.default_recipe(transfer_sets, UntunedDefault(None)) == text
    assert wording.default_recipe(transfer_sets, UntunedDefault(None, 0.02)) == f"{text}, learning rate 0.02"


def test_only_the_sets_of_the_experiment_are_said_to_have_no_labels():
    def sentence(*transfer_sets):
        return next(
            each for each in wording.conventions_in_words(DistillConfig(), transfer_sets) if "w = alpha" in each
        )

    assert sentence("student", "both") == "Alpha is the weight of D: w = alpha."
    assert sentence("student", "public_unlabelled") == (
        "Alpha is the weight of D: w = alpha. Transfer set public_unlabelled has no labels, so the loss is the "
        "divergence alone (w = 1), and alpha has no effect."
    )
    assert wording.without_control(("student", "both")) == ""
    assert wording.without_control(("public_unlabelled", "both")).startswith("Transfer set public_unlabelled has no")


@pytest.mark.parametrize("kind", PAIR_LOSSES)
def test_the_formula_describes_the_loss(kind):
    formula, rule = wording.loss_formula(DistillConfig(loss=loss_config(kind))), PAIR_LOSSES[kind].temperature_rule
    assert formula == (
        f"loss = w * T^2 * D + (1 - w) * CE(label, softmax(student logits))\n   D = {PAIR_LOSSES[kind].formula}"
        + (f"\n   {rule.formula}" if rule else "")
    )
    unscaled = DistillConfig(conventions=ConventionsConfig(scale_by_temperature_squared=False))
    assert wording.loss_formula(unscaled).startswith("loss = w * D + (1 - w) * CE")


def test_a_temperature_that_the_loss_sets_has_no_number():
    words = "transfer set both, own T, alpha=0.5, loss dts"
    assert wording.setting("both", 1.0, 0.5, loss="dts") == words
    assert wording.default_setting(UntunedDefault("both", loss="dts")) == words
    assert wording.default_recipe(["both"], UntunedDefault("both", loss="dts")) == "own T, alpha=0.5, loss dts"
    assert wording.setting("both", 1.0, 0.5, loss="kl") == "transfer set both, T=1, alpha=0.5, loss kl"
    conventions = wording.conventions_in_words(DistillConfig(loss=loss_config("dts")))
    assert any(each.startswith("The loss sets T itself") for each in conventions)
    assert any(each.startswith("The rule of T has hyper-parameters of its own: initial") for each in conventions)
    several = ExperimentConfig.from_mapping({"sweep": {"losses": ["kl", "dts"]}})
    described = " ".join(wording.alternatives_in_words(several))
    assert f"D = KL(p || q) ({PAIR_LOSSES['dts'].source}). {PAIR_LOSSES['dts'].temperature_rule.formula}." in described
    assert "dts sets its temperature itself, so no temperature of the grid is tried with it" in described


def test_every_convention_changes_the_description():
    usual = wording.conventions_in_words(DistillConfig(), ())
    for change in (
        {"reduction": "mean"},
        {"scale_by_temperature_squared": False},
        {"teacher_mode": "train"},
        {"alpha_weighs": "cross_entropy"},
    ):
        changed = wording.conventions_in_words(DistillConfig(conventions=ConventionsConfig(**change)), ())
        assert len(set(changed) - set(usual)) == 1


def test_the_line_on_the_loss_differs_wherever_hyper_parameters_or_conventions_do():
    usual = "KL divergence, reduction batchmean, times T^2, teacher in eval mode, alpha weighs distillation"
    assert wording.loss_in_words(DistillConfig()) == usual
    other = {
        "reduction": "mean",
        "scale_by_temperature_squared": False,
        "teacher_mode": "train",
        "alpha_weighs": "cross_entropy",
    }
    config = DistillConfig(conventions=ConventionsConfig(**other))
    assert wording.loss_in_words(config) == (
        "KL divergence, reduction mean, not times T^2, teacher in train mode, alpha weighs cross entropy"
    )
    for trust in (0.5, 1.0):
        loss = loss_section(WEIGHTED_BRIER).model_validate({"trust": trust})
        config = DistillConfig().model_copy(update={"loss": loss})
        assert wording.loss_in_words(config).startswith(f"weighted Brier score (trust = {trust:g}), reduction")


def test_terms_with_samples_of_their_own_are_described_where_they_are_in_use():
    words = "On student_and_public each batch contains a batch of samples with labels and a batch of samples without."
    for names, is_described in ((("student", "public_unlabelled"), False), (("student", "student_and_public"), True)):
        described = " ".join(wording.conventions_in_words(DistillConfig(), names))
        assert (words in described) == is_described


def test_another_target_than_the_teacher_is_described():
    target = TargetConfig(kind="class_counts", prior_adjusted=True)
    config = DistillConfig(target=target)
    assert wording.loss_in_words(config).endswith(
        ", target: teacher and old self, weighted by class counts, prior-adjusted"
    )
    sentences = wording.conventions_in_words(config, ())
    assert any(target.pair_target.formula in each and target.pair_target.source in each for each in sentences)
    assert any("log(1 + number of its training samples of the class) is subtracted" in each for each in sentences)
    usual = wording.conventions_in_words(DistillConfig(), ())
    assert not any("target" in each for each in [*usual, wording.loss_in_words(DistillConfig())])


def test_a_loss_is_described_by_its_own_words_source_and_hyper_parameters():
    config = DistillConfig().model_copy(update={"loss": loss_section(WEIGHTED_BRIER).model_validate({"trust": 0.5})})
    sentences = wording.conventions_in_words(config, ())
    assert (
        "Weighted Brier score (the tests): D is the squared distance of the outputs, and larger where the teacher is "
        "right." in sentences
    )
    assert "D has hyper-parameters of its own: trust = 0.5." in sentences
    assert not any("hyper-parameters" in sentence for sentence in wording.conventions_in_words(DistillConfig(), ()))
    assert wording.loss_formula(config).endswith("D = (1 + trust * p_y) * sum_k (p_k - q_k)^2")


def test_an_edge_names_the_pairs_the_loss_and_the_value_to_add():
    edge = GridEdge("alphas", 0.1, True, 69, 90, 0.05)
    text = "choose alpha 0.1, the smallest that was tried: add 0.05 to sweep.alphas."
    assert wording.at_edges([edge]) == f"69 of 90 pairs {text}"
    assert wording.at_edges([edge._replace(loss="dkd", target="mean")]) == (
        f"69 of 90 pairs with loss dkd and target mean {text}"
    )


def test_added_values_are_named_by_dimension():
    assert wording.added_values({"temperatures": (), "alphas": (0.025, 0.05), "learning_rates": (0.1,)}) == (
        "Many pairs chose an edge of the grid, so values beyond it were tried too: alphas 0.025, 0.05; learning rate "
        "0.1."
    )
    assert wording.added_values({}) == ""
