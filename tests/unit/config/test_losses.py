import pickle
from typing import Any

import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.losses import loss_config, loss_section
from peerkd.config.resolve import override
from peerkd.config.targets import target_config
from peerkd.config.training import DistillConfig
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.term import HINTON
from peerkd.losses.targets import TARGET_LABELS, target_of_label
from tests.pair_losses import WEIGHTED_BRIER

SECTION: Any = loss_section(WEIGHTED_BRIER)


def refusal(values: Any) -> str:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        ExperimentConfig.from_mapping({"distill": {"loss": values}})
    return str(caught.value)


def test_the_default_is_the_term_of_hinton() -> None:
    assert DistillConfig().term == HINTON


@pytest.mark.parametrize("kind", PAIR_LOSSES)
def test_every_registered_loss_can_be_chosen(kind: str) -> None:
    config = override(ExperimentConfig(), [f"distill.loss.kind={kind}", "distill.conventions.reduction=mean"])
    assert config.distill.term.loss is PAIR_LOSSES[kind]
    assert config.distill.term.reduction == "mean"
    assert ExperimentConfig.from_json(config.to_json()) == config


def test_a_chosen_loss_reaches_another_process() -> None:
    config = override(ExperimentConfig(), ["distill.loss.kind=reverse_kl"])
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_hyper_parameter_is_a_field_with_its_default_bounds_and_meaning() -> None:
    assert SECTION().model_dump() == {"kind": "weighted_brier", "trust": 2.0}
    schema = SECTION.model_json_schema()["properties"]["trust"]
    assert (schema["default"], schema["minimum"], schema["exclusiveMaximum"]) == (2.0, 0, 100)
    assert schema["description"] == "Weight of a teacher that is right."
    for trust, rule in ((-1, "at least 0"), (100, "below 100")):
        with pytest.raises(ValueError, match=f"^trust must be {rule}, got {trust}"):
            SECTION.from_mapping({"trust": trust})


def test_hyper_parameters_that_do_not_fit_together_are_refused() -> None:
    assert refusal({"kind": "dkd", "tckd_weight": 0.0, "nckd_weight": 0.0}) == (
        "distill.loss.tckd_weight and nckd_weight must not both be 0, got 0 and 0: D would be 0 for every student."
    )
    both = ["distill.loss.tckd_weight=0", "distill.loss.nckd_weight=0"]
    with pytest.raises(ValueError, match=r"^distill\.loss\.tckd_weight and nckd_weight must not both be 0"):
        override(ExperimentConfig(), [*both, "distill.loss.kind=dkd"])


def test_hyper_parameters_and_the_kind_may_be_given_in_any_order() -> None:
    pairs = ["distill.loss.nckd_weight=2", "distill.loss.kind=dkd"]
    for each in (pairs, pairs[::-1]):
        assert override(ExperimentConfig(), each).distill.loss == loss_config("dkd", nckd_weight=2.0)
        with pytest.raises(ValueError, match=r"^distill\.loss\.nckd_weight must be at least 0, got -1\."):
            override(ExperimentConfig(), [pair.replace("=2", "=-1") for pair in each])
    with pytest.raises(
        ValueError, match=r"^distill\.loss\.nckd_weight is not a key of the kind kl \(it belongs to dkd\)"
    ):
        override(ExperimentConfig(), pairs[:1])


def test_the_reference_page_says_which_losses_need_labels() -> None:
    words = "This loss needs labels, so it excludes transfer sets without them."
    assert words in str(SECTION.__doc__)
    assert words not in str(type(loss_config("kl")).__doc__)


def test_an_unknown_hyper_parameter_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^trsut is not a key of the config \(did you mean trust\?\), got 1\.$"):
        SECTION.from_mapping({"trsut": 1})


def test_an_unknown_loss_is_refused_with_the_nearest() -> None:
    known = ", ".join(PAIR_LOSSES)
    assert refusal({"kind": "reverse-kl"}) == (
        f"distill.loss.kind must be one of {known}, got reverse-kl (did you mean reverse_kl?)."
    )
    assert refusal({"kind": "0"}) == f"distill.loss.kind must be one of {known}, got 0."


def test_a_loss_without_its_kind_is_refused_with_an_example() -> None:
    assert refusal("kl") == 'distill.loss must be a section with a kind, as in {kind: kl}, got "kl".'
    assert refusal("kind:kl") == 'distill.loss must be a section with a kind, as in {kind: kl}, got "kind:kl".'
    assert refusal(3) == "distill.loss must be a section with a kind, as in {kind: kl}, got 3."
    assert refusal({}) == "distill.loss.kind is required, got {}."


@pytest.mark.parametrize("name", ["public_unlabelled", "student_and_public", "teacher_unlabelled"])
def test_a_loss_that_needs_labels_excludes_the_sets_on_which_its_samples_have_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    values = {"partition": {"public_fraction": 0.1}, "sweep": {"transfer_sets": ["student", name]}}
    config = ExperimentConfig.from_mapping(values)
    needing = PAIR_LOSSES["kl"]._replace(needs_labels=True)
    monkeypatch.setattr(type(config.distill.loss), "pair_loss", needing)
    monkeypatch.setitem(PAIR_LOSSES, "kl", needing)
    message = f"sweep.transfer_sets must not contain {name} when distill.loss.kind is kl, which needs labels,"
    with pytest.raises(ValueError, match=f"^{message}"):
        ExperimentConfig.from_mapping(values)


@pytest.mark.parametrize("name", ["public_unlabelled", "student_and_public", "teacher_unlabelled"])
def test_a_loss_that_no_transfer_set_allows_is_refused_in_the_grid(name: str) -> None:
    values = {"partition": {"public_fraction": 0.1}, "sweep": {"transfer_sets": [name], "losses": ["kl", "dkd"]}}
    message = rf"sweep.losses must not contain dkd, which needs labels, unless .* got transfer sets \['{name}'\]."
    with pytest.raises(ValueError, match=message):
        ExperimentConfig.from_mapping(values)
    values["sweep"]["transfer_sets"] = ["student", name]
    assert set(ExperimentConfig.from_mapping(values).tried_losses) == {"kl", "dkd"}


def test_an_experiment_in_which_no_teacher_takes_part_is_refused() -> None:
    values: dict[str, Any] = {"distill": {"target": {"kind": "student"}}}
    with pytest.raises(ValueError, match=r"must contain a target that a teacher takes part in when .*student"):
        ExperimentConfig.from_mapping(values)
    values["sweep"] = {"targets": ["student+prior_adjusted"]}
    with pytest.raises(ValueError, match=r"because all trials would be controls without one, got .*prior_adjusted"):
        ExperimentConfig.from_mapping(values)
    values["sweep"] = {"targets": ["teacher"]}
    assert set(ExperimentConfig.from_mapping(values).tried_targets) == {"student", "teacher"}


def test_a_loss_of_the_grid_has_the_hyper_parameters_of_the_recipe_if_it_is_that_loss() -> None:
    values = {
        "distill": {"loss": {"kind": "dkd", "nckd_weight": 2.0}},
        "sweep": {"losses": ["jensen_shannon", "dkd"]},
    }
    tried = ExperimentConfig.from_mapping(values).tried_losses
    assert tried["dkd"].parameters == {"tckd_weight": 1.0, "nckd_weight": 2.0}
    assert tried["jensen_shannon"].parameters == {"teacher_share": 0.5}


@pytest.mark.parametrize("label", TARGET_LABELS)
def test_the_label_of_a_target_is_that_of_its_config(label: str) -> None:
    assert target_config(label).label == label
    assert target_config(label).pair_target is target_of_label(label)
