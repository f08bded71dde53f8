import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.config.data import DirichletLabels, IidLabels, ShardsPerPeer
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD, PCL, PIPELINES, Pipeline, find_pipeline
from peerkd.config.presets import PRESETS
from peerkd.config.resolve import load, load_file, override, resolve, split_overrides, to_yaml
from peerkd.config.strict import StrictConfig
from peerkd.config.training import DistillConfig

DIGITS = PRESETS["digits"]()

ALL_PRESETS = [
    pytest.param(pipeline, name, id=f"{pipeline.name}-{name}")
    for pipeline in PIPELINES.values()
    for name in pipeline.presets
]


@pytest.mark.parametrize(("pipeline", "name"), ALL_PRESETS)
def test_a_preset_is_found_by_its_name(pipeline: Pipeline[StrictConfig], name: str) -> None:
    assert resolve(pipeline, preset=name) == pipeline.presets[name]()


def test_a_pipeline_is_found_by_its_name_and_another_is_refused() -> None:
    assert [find_pipeline(name) for name in ("jointkd", "pcl")] == [JOINTKD, PCL]
    with pytest.raises(ValueError, match=r"^pipeline must be one of jointkd, pcl, collaborate, got kd\.$"):
        find_pipeline("kd")


def test_each_pipeline_has_experiments_of_its_own_form() -> None:
    study = resolve(PCL, preset="digits", overrides="methods=[plain,pcl] training.epochs=3")
    assert (study.methods, study.training.epochs) == (("plain", "pcl"), 3)
    message = (
        "training.epochs is not a key of the config (it belongs to the pipeline pcl; did you mean pretrain.epochs or "
        "distill.epochs?), got 3."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve(JOINTKD, preset="digits", overrides="training.epochs=3")
    with pytest.raises(
        ValueError, match=r"distill is not a key of the config \(it belongs to the pipeline jointkd\), got"
    ):
        resolve(PCL, preset="", config_json=DIGITS.to_json())


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^preset must be one of digits, cifar10_small, poster, got mnist\.$"):
        resolve(JOINTKD, preset="mnist")


@pytest.mark.parametrize("preset", ["", "digits"])
def test_a_whole_config_replaces_the_default_preset(preset: str) -> None:
    config = PRESETS["poster"]()
    assert resolve(JOINTKD, preset=preset, config_json=config.to_json()) == config


def test_a_config_is_on_top_of_the_preset_and_overrides_are_on_top_of_both(tmp_path: Path) -> None:
    text = "name: mine\nseed: 7\npartition: {num_peers: 4}\nsweep: {alphas: [0.2]}\n"
    pairs = ["seed=8", "partition.min_samples_per_peer=3"]
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    expected = override(PRESETS["poster"](), ["name=mine", "partition.num_peers=4", "sweep.alphas=[0.2]", *pairs])
    assert (expected.seed, expected.peers.architectures) == (8, ("resnet18",))
    assert load(JOINTKD, preset="poster", config_file=path, overrides=pairs) == expected
    assert resolve(JOINTKD, preset="poster", config_json=text, overrides=" ".join(pairs)) == expected
    # Without a preset, the file is on top of the defaults, and not of the preset of runs that give neither.
    assert load(JOINTKD, preset=None, config_file=path, overrides=[]) == resolve(JOINTKD, config_json=text)
    assert resolve(JOINTKD, config_json=text).pretrain == ExperimentConfig().pretrain != DIGITS.pretrain


@pytest.mark.parametrize(("pipeline", "name"), ALL_PRESETS)
def test_a_whole_config_gives_the_same_experiment_on_top_of_any_preset(
    pipeline: Pipeline[StrictConfig], name: str
) -> None:
    config = pipeline.presets[name]()
    for below in pipeline.presets:
        assert resolve(pipeline, preset=below, config_json=config.to_json()) == config


def test_a_layer_changes_the_kind_of_a_section_or_fields_of_its_kind() -> None:
    skew = resolve(JOINTKD, preset="digits", config_json="partition: {label_skew: {concentration: 2.0}}").partition
    assert skew.label_skew == DirichletLabels(concentration=2.0)
    other = resolve(JOINTKD, preset="digits", config_json="partition: {label_skew: {kind: iid}}").partition
    assert other.label_skew == IidLabels()


def test_a_value_of_a_file_that_would_be_refused_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("seed: -1")
    assert load(JOINTKD, preset=None, config_file=path, overrides=["seed=1"]).seed == 1


def test_an_unknown_preset_is_refused_below_a_config_too() -> None:
    with pytest.raises(ValueError, match=r"^preset must be one of digits, cifar10_small, poster, got nonsense\.$"):
        resolve(JOINTKD, preset="nonsense", config_json="seed: 1")


def test_all_errors_of_all_overrides_are_reported_at_once() -> None:
    pairs = ["foo", "seed=x", "distill.decay_factor=0.5", "name=["]
    with pytest.raises(ValueError, match=r"^The config has 3 errors:\n") as caught:
        override(DIGITS, pairs)
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == ["An", "The", "seed"]
    with pytest.raises(
        ValueError, match=r"^The config has 2 errors:\n  distill\.decay_factor must .*\n  pretrain\.decay"
    ):
        override(DIGITS, ["distill.decay_factor=0.5", "pretrain.decay_factor=0.5"])


def test_overrides_are_applied_to_preset_and_config_alike() -> None:
    assert resolve(JOINTKD, preset="digits", overrides="seed=3 sweep.alphas=[0.5,0.9]").sweep.alphas == (0.5, 0.9)
    assert resolve(JOINTKD, preset="", config_json=DIGITS.to_json(), overrides="seed=3") == override(DIGITS, ["seed=3"])


def test_an_override_sets_one_field_and_no_other() -> None:
    expected = DIGITS.model_dump()
    expected["distill"]["conventions"]["reduction"] = "mean"
    assert override(DIGITS, ["distill.conventions.reduction=mean"]).model_dump() == expected


def test_the_later_of_two_overrides_of_a_field_counts() -> None:
    assert override(DIGITS, ["seed=1", "seed=2"]).seed == 2


def test_without_overrides_the_experiment_is_unchanged() -> None:
    assert override(DIGITS, []) == DIGITS
    assert split_overrides("") == split_overrides(" \n") == []


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1 b=2", ["a=1", "b=2"]),
        ("  a=1\n\tb=2 ", ["a=1", "b=2"]),
        ("a='x y' b=2", ["a=x y", "b=2"]),
        ('a="x y"', ["a=x y"]),
        ("a='[1, 2]'", ["a=[1, 2]"]),
        ('a=[\\"1\\"]', ['a=["1"]']),
    ],
)
def test_overrides_are_quoted_as_in_a_shell(text: str, pairs: list[str]) -> None:
    assert split_overrides(text) == pairs


@pytest.mark.parametrize("text", ["a='x", 'a="x', "a=\\"])
def test_a_quotation_that_is_not_closed_is_refused(text: str) -> None:
    message = f"overrides must close every quotation mark, got {text}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_overrides(text)


def test_a_quoted_value_keeps_its_spaces() -> None:
    config = resolve(JOINTKD, preset="poster", overrides="data.path='my data/cifar'")
    assert config.data.path == "my data/cifar"


@pytest.mark.parametrize("pair", ["seed", "=3", "", ".=3", "seed.=3", ".seed=3", "data..path=x"])
def test_an_override_without_key_or_value_is_refused(pair: str) -> None:
    message = f"An override (--set) must have the form key=value, as in seed=3, got {pair}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        override(DIGITS, [pair])


def test_a_value_may_contain_equals_signs() -> None:
    assert resolve(JOINTKD, preset="poster", overrides="data.path=a=b").data.path == "a=b"


def test_a_value_that_is_not_yaml_is_refused() -> None:
    message = (
        "The value of sweep.alphas must be YAML, got [0.5: "
        "expected ',' or ']', but got '<stream end>' in line 1, column 5."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        override(DIGITS, ["sweep.alphas=[0.5"])


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("colour=red", 'colour is not a key of the config, got "red".'),
        ("data.colour=red", 'data.colour is not a key of the config, got "red".'),
        ("seed.a=1", 'seed must be a whole number, got {"a": 1}.'),
        ("sweep.alphas=[0.5,1.5]", "sweep.alphas[1] must be at most 1, got 1.5."),
        ("sweep.temperatures=[0]", "sweep.temperatures[0] must be above 0, got 0."),
        ("partition.num_peers=1", "partition.num_peers must be at least 2, got 1."),
        ("data.source=npz", "data.path is required when source is npz, got null."),
        ("name=", "name must be text, got null."),
    ],
)
def test_an_override_that_breaks_a_rule_is_refused(pair: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        override(DIGITS, [pair])


def test_rules_hold_for_all_overrides_together_not_for_each() -> None:
    config = override(DIGITS, ["data.source=npz", "data.path=data.npz"])
    assert (config.data.source, config.data.path) == ("npz", "data.npz")


def test_a_new_kind_resets_the_fields_of_its_section() -> None:
    base = override(DIGITS, ["partition.label_skew.concentration=0.7"])
    assert override(base, ["partition.label_skew.kind=iid"]).partition.label_skew == IidLabels()
    assert override(base, ["partition.label_skew.kind=dirichlet"]) == base


@pytest.mark.parametrize(
    "pairs",
    [
        ["partition.label_skew.kind=shards", "partition.label_skew.shards_per_peer=2"],
        ["partition.label_skew={kind: shards}", "partition.label_skew.shards_per_peer=2"],
        ["partition.label_skew.kind=shards", "partition.label_skew={shards_per_peer: 2}"],
    ],
)
def test_a_kind_and_its_fields_may_be_given_in_any_order(pairs: list[str]) -> None:
    for each in (pairs, pairs[::-1]):
        assert override(DIGITS, each).partition.label_skew == ShardsPerPeer(shards_per_peer=2)


@pytest.mark.parametrize(
    ("kind", "field", "message"),
    [
        ("iid", "concentration=0.7", "concentration is not a key of the kind iid (it belongs to dirichlet), got 0.7."),
        ("shards", "shards_per_peer=0", "shards_per_peer must be at least 1, got 0."),
        ("dirichlet", "column=id", "column is not a key of the kind dirichlet (it belongs to natural), "),
    ],
)
def test_every_given_field_is_checked_with_the_final_kind(kind: str, field: str, message: str) -> None:
    pairs = [f"partition.label_skew.kind={kind}", f"partition.label_skew.{field}"]
    for each in (pairs, pairs[::-1]):
        with pytest.raises(ValueError, match=f"^{re.escape(f'partition.label_skew.{message}')}"):
            override(DIGITS, each)


def test_a_section_replaces_the_preset_but_no_other_override() -> None:
    pairs = ["distill.learning_rate=0.5", "distill={epochs: 2}"]
    for each in (pairs, pairs[::-1]):
        assert override(DIGITS, each).distill == DistillConfig(learning_rate=0.5, epochs=2)


def test_the_later_of_two_values_of_a_field_counts_in_sections_too() -> None:
    shards, two = "partition.label_skew={kind: shards, shards_per_peer: 3}", "partition.label_skew.shards_per_peer=2"
    for pairs in ([shards, two], [two, shards, two]):
        assert override(DIGITS, pairs).partition.label_skew == ShardsPerPeer(shards_per_peer=2)
    for pairs in ([two, shards], [shards, two, shards]):
        assert override(DIGITS, pairs).partition.label_skew == ShardsPerPeer(shards_per_peer=3)
    pairs = [shards, "partition.label_skew={kind: iid}"]
    assert override(DIGITS, pairs).partition.label_skew == IidLabels()


def test_a_field_inside_a_number_is_refused_whatever_else_sets_the_number() -> None:
    for pairs in (["seed=3", "seed.a=1"], ["seed.a=1", "seed=3"]):
        with pytest.raises(ValueError, match=r'^seed must be a whole number, got \{"a": 1\}\.$'):
            override(DIGITS, pairs)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-2", 0.01), ("1E-2", 0.01), ("5e-4", 0.0005), (".5e-1", 0.05), ("1.e-3", 0.001), ("+2e0", 2.0), ("0.1", 0.1)],
)
def test_numbers_are_those_of_yaml_1_2(text: str, number: float) -> None:
    assert override(DIGITS, [f"distill.learning_rate={text}"]).distill.learning_rate == number


@pytest.mark.parametrize("text", ["e5", "1e", "1e5x", "v1e5", "2026-01-31", "."])
def test_a_string_that_resembles_a_number_or_a_date_is_a_string(text: str) -> None:
    assert resolve(JOINTKD, preset="poster", overrides=f"data.path={text}").data.path == text


@pytest.mark.parametrize(("pipeline", "name"), ALL_PRESETS)
def test_an_experiment_survives_the_way_through_yaml(
    tmp_path: Path, pipeline: Pipeline[StrictConfig], name: str
) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(to_yaml(pipeline.presets[name]()))
    assert load_file(pipeline, path) == pipeline.presets[name]()


_TRICKY = st.sampled_from(
    [
        "1e-2",
        "1e3",
        "2026-01-31",
        "1:30",
        "12:30:45",
        "null",
        "on",
        "yes",
        "=",
        "0x10",
        "0o10",
        "010",
        "1_000",
        "~",
        "'",
    ]
) | st.sampled_from([".inf", ".nan", "#", "<<", "!x", "&a", "*a", "- a", "a: b", "\x85", "\ufeffa", " a ", "a\n", "\t"])


@given(path=_TRICKY | st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_string_survives_the_way_through_yaml(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    config = ExperimentConfig.model_validate({"data": {"source": "npz", "path": path}})
    file = tmp_path_factory.getbasetemp() / "experiment.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert load_file(JOINTKD, file) == config


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            ["distill.decay_factor=0.5"],
            "distill.decay_factor must not be set unless distill.schedule is multistep: it would have no effect.",
        ),
        (
            ["pretrain.collaboration={temperature: 2}"],
            "pretrain.collaboration.temperature must not be set unless pretrain.method is pcl: "
            "it would have no effect.",
        ),
        (
            ["partition.held_out_fraction=0.3"],
            "partition.held_out_fraction must not be set unless partition.own_evaluation is held_out: "
            "it would have no effect.",
        ),
        (
            ["data.source=cifar10", "data.path=x", "data.test_fraction=0.3"],
            "data.test_fraction must not be set unless data.source has no test split of its own: "
            "it would have no effect.",
        ),
    ],
)
def test_a_field_that_would_have_no_effect_is_refused(pairs: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        override(DIGITS, pairs)


def test_a_field_of_a_method_is_refused_without_the_method() -> None:
    study = resolve(PCL, preset="digits", overrides="methods=[plain,kdcl] collaboration.kdcl_ensemble=mean")
    assert study.collaboration.kdcl_ensemble == "mean"
    with pytest.raises(
        ValueError, match=r"^collaboration\.kdcl_ensemble must not be set unless methods contains kdcl: "
    ):
        resolve(PCL, preset="digits", overrides="methods=[plain,pcl] collaboration.kdcl_ensemble=mean")


def test_another_variant_may_be_chosen_whatever_else_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("distill: {schedule: multistep, decay_factor: 0.5}")
    loaded = load(JOINTKD, preset=None, config_file=path, overrides=["distill.schedule=cosine"])
    assert (loaded.distill.schedule, loaded.distill.decay_factor) == ("cosine", 0.5)


def test_a_whole_config_may_be_yaml_as_a_person_types_it_into_a_form() -> None:
    text = "name: hospitals\ndata: {source: peers}\npeers:\n  given:\n" + "".join(
        f"    - {{name: {name}, network: mlp, weights: s3://models/{name}.pt, data: s3://images/{name}}}\n"
        for name in ("north", "south")
    )
    key = "improve_peers/0123456789abcdef"
    config = resolve(JOINTKD, preset="digits", config_json=text, overrides=f"peers.from={key}")
    assert [peer.data for peer in config.peers.given] == ["s3://images/north", "s3://images/south"]
    assert config.peers.from_ == key
    assert resolve(JOINTKD, config_json=config.to_json()) == config
