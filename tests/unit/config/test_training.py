from typing import Any, get_args

import pytest

from peerkd.config.architectures import Architecture
from peerkd.config.strict import StrictConfig
from peerkd.config.training import ConventionsConfig, DistillConfig, PeersConfig, PretrainConfig


def refusal(section: type[StrictConfig], values: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"^.+\.$") as caught:
        section.from_mapping(values)
    return str(caught.value)


@pytest.mark.parametrize("recipe", [PretrainConfig, DistillConfig])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0."),
        ({"batch_size": 2}, "batch_size must be at least 3, got 2."),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0."),
        ({"momentum": -0.1}, "momentum must be at least 0, got -0.1."),
        ({"momentum": 1.0}, "momentum must be below 1, got 1.0."),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0."),
        ({"decay_factor": 0.0}, "decay_factor must be above 0, got 0.0."),
        ({"decay_factor": 1.5}, "decay_factor must be at most 1, got 1.5."),
        ({"milestone_fractions": [0.5, 1.0]}, "milestone_fractions[1] must be below 1, got 1.0."),
        ({"milestone_fractions": [0.0]}, "milestone_fractions[0] must be above 0, got 0.0."),
        ({"milestone_fractions": [0.75, 0.5]}, "milestone_fractions must be in ascending order, got [0.75, 0.5]."),
        ({"milestone_fractions": [0.5, 0.5]}, "milestone_fractions must be in ascending order, got [0.5, 0.5]."),
        ({"nesterov": True, "momentum": 0.0}, "nesterov must be false when momentum is 0, got true."),
        (
            {"schedule": "step"},
            'schedule must be one of constant, cosine, multistep, got "step".',
        ),
    ],
)
def test_a_recipe_has_bounds(recipe: type[StrictConfig], values: dict[str, Any], message: str) -> None:
    assert refusal(recipe, values) == message


@pytest.mark.parametrize("recipe", [PretrainConfig, DistillConfig])
@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 1, "batch_size": 3, "momentum": 0.0, "weight_decay": 0.0, "decay_factor": 1.0},
        {"nesterov": True},
        {"milestone_fractions": []},
        {"milestone_fractions": [0.1, 0.2, 0.3]},
    ],
)
def test_the_bounds_of_a_recipe_are_allowed_values(recipe: type[StrictConfig], values: dict[str, Any]) -> None:
    dumped = recipe.from_mapping(values).model_dump(mode="json")
    assert {name: dumped[name] for name in values} == values


def test_there_is_at_least_one_architecture() -> None:
    assert refusal(PeersConfig, {"architectures": []}) == "architectures must have at least 1 entry, got []."


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    known = ", ".join(get_args(Architecture))
    message = f'architectures[1] must be one of {known}, got "vgg" (did you mean vgg16?).'
    assert refusal(PeersConfig, {"architectures": ["mlp", "vgg"]}) == message


def test_the_default_conventions_are_those_of_hinton() -> None:
    assert ConventionsConfig().model_dump() == {
        "reduction": "batchmean",
        "scale_by_temperature_squared": True,
        "teacher_mode": "eval",
        "alpha_weighs": "distillation",
    }


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("reduction", "must be batchmean or mean"),
        ("teacher_mode", "must be eval or train"),
        ("alpha_weighs", "must be distillation or cross_entropy"),
    ],
)
def test_a_convention_is_one_of_two(field: str, message: str) -> None:
    assert refusal(ConventionsConfig, {field: "sum"}) == f'{field} {message}, got "sum".'


def test_a_peer_is_trained_on_the_labels_alone_by_default() -> None:
    assert (PretrainConfig().method, PretrainConfig().precision) == ("cross_entropy", "float32")
    assert refusal(PretrainConfig, {"method": "one"}) == 'method must be cross_entropy or pcl, got "one".'


def test_a_peer_may_be_trained_by_pcl() -> None:
    config = PretrainConfig.from_mapping({"method": "pcl", "collaboration": {"num_branches": 4}})
    assert (config.method, config.collaboration.num_branches) == ("pcl", 4)
    assert refusal(PretrainConfig, {"method": "pcl", "collaboration": {"num_branches": 1}}) == (
        "collaboration.num_branches must be at least 2, got 1."
    )
