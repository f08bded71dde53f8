from typing import Any

import pytest

from peerkd.config.resolve import to_yaml
from peerkd.config.sweep import SweepConfig
from peerkd.study.transfer_sets import TRANSFER_SETS


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"^.+\.$") as caught:
        SweepConfig.from_mapping(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alphas": [1.5]}, "alphas[0] must be at most 1, got 1.5."),
        ({"alphas": [0.5, -0.1]}, "alphas[1] must be at least 0, got -0.1."),
        ({"alphas": []}, "alphas must have at least 1 entry, got []."),
        ({"alphas": [0.5, 0.1, 0.5]}, "alphas must not repeat a value, got [0.5, 0.1, 0.5]."),
        ({"temperatures": [0]}, "temperatures[0] must be above 0, got 0."),
        ({"temperatures": [1.0, -2.0]}, "temperatures[1] must be above 0, got -2.0."),
        ({"temperatures": []}, "temperatures must have at least 1 entry, got []."),
        ({"temperatures": [2, 2.0]}, "temperatures must not repeat a value, got [2.0, 2.0]."),
        ({"learning_rates": [0]}, "learning_rates[0] must be above 0, got 0."),
        ({"learning_rates": [0.1, 0.02, 0.1]}, "learning_rates must not repeat a value, got [0.1, 0.02, 0.1]."),
        ({"transfer_sets": []}, "transfer_sets must have at least 1 entry, got []."),
        ({"transfer_sets": ["both", "both"]}, "transfer_sets must not repeat a value, got ['both', 'both']."),
        (
            {"transfer_sets": ["all"]},
            f'transfer_sets[0] must be one of {", ".join(TRANSFER_SETS)}, got "all".',
        ),
        (
            {"selection_metric": "loss"},
            'selection_metric must be global_accuracy or own_accuracy, got "loss".',
        ),
        (
            {"default_transfer_set": "public"},
            "default_transfer_set must be one of transfer_sets ['student', 'teacher', 'both'], got public.",
        ),
    ],
)
def test_a_grid_that_breaks_a_rule_is_refused(values: dict[str, Any], message: str) -> None:
    assert refusal(values) == message


def test_alpha_may_be_zero_or_one_and_whole_numbers_are_numbers() -> None:
    config = SweepConfig.from_mapping({"alphas": [0, 1], "temperatures": [1, 20]})
    assert (config.alphas, config.temperatures) == ((0.0, 1.0), (1.0, 20.0))
    assert all(isinstance(value, float) for value in (*config.alphas, *config.temperatures))


def test_the_untuned_default_has_the_first_transfer_set_by_default() -> None:
    config = SweepConfig.from_mapping({"transfer_sets": ["both", "teacher"]})
    assert config.resolved_default_transfer_set == "both"
    told = SweepConfig.from_mapping({"transfer_sets": ["both", "teacher"], "default_transfer_set": "teacher"})
    assert told.resolved_default_transfer_set == "teacher"


def test_every_field_is_written_and_read_back() -> None:
    assert to_yaml(SweepConfig()).count("learning_rates: []") == 1
    config = SweepConfig.from_mapping({"learning_rates": [0.1, 1]})
    assert SweepConfig.from_json(config.to_json()) == config


def test_a_grid_that_is_too_large_for_memory_is_refused() -> None:
    values = {"temperatures": list(range(1, 401)), "alphas": [place / 100 for place in range(100)]}
    message = (
        "temperatures, alphas, transfer_sets, learning_rates, losses and targets must give at most 100,000 settings, "
        "got 120,000."
    )
    assert refusal(values) == message
    assert refusal({**values, "losses": ["kl", "dkd"]}).endswith("got 240,000.")


def test_sets_on_which_samples_of_a_peer_leave_it_are_omitted_if_data_stay_at_home() -> None:
    values = {"transfer_sets": ["teacher", "both", "student_and_public", "student"], "data_stays_home": True}
    config = SweepConfig.from_mapping(values)
    assert config.tried_transfer_sets == ("student_and_public", "student")
    assert config.resolved_default_transfer_set == "student_and_public"
    assert config.transfer_sets == tuple(values["transfer_sets"])
    assert SweepConfig().tried_transfer_sets == SweepConfig().transfer_sets


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"transfer_sets": ["teacher", "both", "teacher_unlabelled"]},
            "transfer_sets must contain student or public or public_unlabelled or student_and_public when "
            "data_stays_home is true, because samples of a peer leave it on all others, got ['teacher', 'both', "
            "'teacher_unlabelled'].",
        ),
        (
            {"default_transfer_set": "both"},
            "default_transfer_set must be one of transfer_sets ['student'] on which data stay at home, got both.",
        ),
    ],
)
def test_an_experiment_without_a_set_on_which_data_stay_at_home_is_refused(
    values: dict[str, Any], message: str
) -> None:
    assert refusal({**values, "data_stays_home": True}) == message
