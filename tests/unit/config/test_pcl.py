import json
from typing import Any, get_args

import pytest

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import Method
from peerkd.config.pcl import OnlineRecipeConfig, PclConfig, Run


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"^.+\.$") as caught:
        PclConfig.from_mapping(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("collaboration", {"num_branches": 1}, "num_branches must be at least 2, got 1."),
        ("collaboration", {"temperature": 0}, "temperature must be above 0, got 0."),
        ("collaboration", {"temperature": 0.0}, "temperature must be above 0, got 0.0."),
        (
            "collaboration",
            {"distillation_weight": -1.0},
            "distillation_weight must be at least 0, got -1.0.",
        ),
        ("collaboration", {"rampup_epochs": -1}, "rampup_epochs must be at least 0, got -1."),
        ("collaboration", {"mean_decay": -0.1}, "mean_decay must be at least 0, got -0.1."),
        ("collaboration", {"mean_decay": 1.0}, "mean_decay must be below 1, got 1.0."),
        ("collaboration", {"cross_entropy_weight": 0.0}, "cross_entropy_weight must be above 0, got 0.0."),
        (
            "collaboration",
            {"cross_entropy_weight": 1.5},
            "cross_entropy_weight must be at most 1, got 1.5.",
        ),
        (
            "collaboration",
            {"mean_batch_norm": "eval"},
            'mean_batch_norm must be one of batch, averaged, copied, got "eval".',
        ),
        ("collaboration", {"view_batch_norm": "one"}, 'view_batch_norm must be separate or joined, got "one".'),
        (
            "collaboration",
            {"kdcl_ensemble": "linear"},
            'kdcl_ensemble must be one of min_logit, naive, mean, got "linear".',
        ),
        ("training", {"epochs": 0}, "epochs must be at least 1, got 0."),
        (
            "training",
            {"precision": "float16"},
            'precision must be float32 or bfloat16, got "float16" (did you mean bfloat16?).',
        ),
        ("training", {"num_processes": 0}, "num_processes must be at least 1, got 0."),
        (
            "training",
            {"synchronise_batch_norm": True},
            "synchronise_batch_norm must be false when num_processes is 1, got true.",
        ),
        ("training", {"momentum": 0.0}, "nesterov must be false when momentum is 0, got true."),
        ("evaluation", {"every_epochs": 0}, "every_epochs must be at least 1, got 0."),
        ("compute", {"checkpoint_steps": 0}, "checkpoint_steps must be at least 1, got 0."),
        ("compute", {"num_workers": 0}, "num_workers must be at least 1, got 0."),
    ],
)
def test_sections_have_bounds(section: str, values: dict[str, Any], message: str) -> None:
    assert refusal({section: values}) == f"{section}.{message}"


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (
            "collaboration",
            {
                "num_branches": 2,
                "distillation_weight": 0.0,
                "rampup_epochs": 0,
                "mean_decay": 0.0,
                "cross_entropy_weight": 1.0,
            },
        ),
        ("training", {"num_processes": 2, "synchronise_batch_norm": True}),
        ("training", {"num_processes": 2, "synchronise_batch_norm": False}),
    ],
)
def test_the_bounds_of_a_section_are_allowed_values(section: str, values: dict[str, Any]) -> None:
    dumped = PclConfig.from_mapping({section: values}).model_dump(mode="json")[section]
    assert {name: dumped[name] for name in values} == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_seeds": 0}, "num_seeds must be at least 1, got 0."),
        ({"seed": 2**32}, "seed must be below 4294967296, got 4294967296."),
        ({"architectures": []}, "architectures must have at least 1 entry, got []."),
        ({"methods": []}, "methods must have at least 1 entry, got []."),
        ({"architectures": ["mlp", "mlp"]}, "architectures must not repeat a value, got ['mlp', 'mlp']."),
        ({"methods": ["pcl", "dml", "pcl"]}, "methods must not repeat a value, got ['pcl', 'dml', 'pcl']."),
    ],
)
def test_a_study_has_bounds(values: dict[str, Any], message: str) -> None:
    assert refusal(values) == message


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    assert refusal({"methods": ["plain", "kd"]}) == (
        f'methods[1] must be one of {", ".join(get_args(Method))}, got "kd".'
    )


def test_the_last_seed_has_thirty_two_bits_too() -> None:
    seed = 2**32 - 5
    assert refusal({"seed": seed}) == "seed + num_seeds must be below 4294967296, got 4294967291 + 5."
    assert PclConfig.from_mapping({"seed": seed - 1}).runs[-1].seed == 2**32 - 2


def test_okddip_needs_two_branches_besides_its_leader() -> None:
    values = {"methods": ["okddip"], "collaboration": {"num_branches": 2}}
    assert refusal(values) == (
        "collaboration.num_branches must be at least 3 when methods contains okddip, whose last branch is a leader, "
        "got 2."
    )
    assert PclConfig.from_mapping({**values, "methods": ["pcl"]}).collaboration.num_branches == 2
    assert PclConfig.from_mapping({**values, "collaboration": {"num_branches": 3}}).methods == ("okddip",)


def test_ffl_fuses_feature_maps_so_every_network_must_have_them() -> None:
    values = {"methods": ["plain", "ffl_s"], "architectures": ["small_cnn", "mlp"]}
    assert refusal(values) == (
        "architectures must all have feature maps when methods contains ffl_s, which fuses them, got mlp."
    )
    assert PclConfig.from_mapping({**values, "architectures": ["small_cnn"]}).methods == ("plain", "ffl_s")
    assert PclConfig.from_mapping({**values, "methods": ["plain"]}).architectures == ("small_cnn", "mlp")


def test_the_branch_point_is_one_of_every_network() -> None:
    values = {"architectures": ["resnet20", "small_cnn"], "collaboration": {"branch_point": "stage3"}}
    assert refusal(values) == "collaboration.branch_point must be stage2 for small_cnn, got stage3."
    config = PclConfig.from_mapping({**values, "architectures": ["resnet20", "vgg16"]})
    assert config.collaboration.branch_point == "stage3"


@pytest.mark.parametrize("values", [{}, {"collaboration": {"branch_point": None}}])
def test_without_a_branch_point_each_network_has_its_own(values: dict[str, Any]) -> None:
    config = PclConfig.from_mapping({"architectures": ["resnet20", "small_cnn", "mlp"], **values})
    assert config.collaboration.branch_point is None


def test_the_baseline_is_the_first_method_unless_it_is_named() -> None:
    assert PclConfig().baseline == "plain"
    assert PclConfig.from_mapping({"methods": ["pcl"]}).baseline == "pcl"
    named = {"methods": ["pcl", "dml"], "evaluation": {"baseline": "dml"}}
    assert PclConfig.from_mapping(named).baseline == "dml"


def test_a_baseline_that_is_not_trained_is_refused() -> None:
    assert refusal({"methods": ["plain", "pcl"], "evaluation": {"baseline": "dml"}}) == (
        "evaluation.baseline must be one of methods ['plain', 'pcl'], got dml."
    )


def test_runs_go_seed_by_seed_so_that_an_interrupted_study_has_whole_seeds() -> None:
    config = PclConfig.from_mapping(
        {"seed": 7, "num_seeds": 2, "architectures": ["mlp", "small_cnn"], "methods": ["plain", "pcl"]}
    )
    assert config.runs == (
        Run("mlp", "plain", 7),
        Run("mlp", "pcl", 7),
        Run("small_cnn", "plain", 7),
        Run("small_cnn", "pcl", 7),
        Run("mlp", "plain", 8),
        Run("mlp", "pcl", 8),
        Run("small_cnn", "plain", 8),
        Run("small_cnn", "pcl", 8),
    )


def test_the_sections_of_a_study_are_in_the_order_of_its_steps() -> None:
    assert list(PclConfig.model_fields) == [
        "name", "seed", "num_seeds", "data", "augmentation", "architectures", "methods", "collaboration", "training",
        "evaluation", "compute",
    ]  # fmt: skip


def test_the_defaults_are_those_of_the_published_tables() -> None:
    assert CollaborationConfig().model_dump() == {
        "num_branches": 3,
        "branch_point": None,
        "temperature": 3.0,
        "distillation_weight": 1.0,
        "rampup_epochs": 80,
        "mean_decay": 0.999,
        "mean_batch_norm": "batch",
        "view_batch_norm": "separate",
        "kdcl_ensemble": "min_logit",
        "cross_entropy_weight": 0.5,
    }
    assert json.loads(OnlineRecipeConfig().to_json()) == {
        "epochs": 300,
        "batch_size": 128,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "schedule": "multistep",
        "milestone_fractions": [0.5, 0.75],
        "decay_factor": 0.1,
        "precision": "float32",
        "num_processes": 1,
        "synchronise_batch_norm": False,
    }
