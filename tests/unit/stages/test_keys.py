"""The fields of a config that are in the key of each stage."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, get_args, get_origin

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, create_model

from peerkd.artifacts import keys
from peerkd.artifacts.store import FileEntry, Manifest
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.strict import StrictConfig
from peerkd.stages import (
    collaborate_peers,
    dataset,
    distill_pairs,
    improve_peers,
    partition_data,
    pretrain_peers,
    split_data,
    train_pcl,
    tune_pairs,
)

INPUT: Final = Manifest(key="input/0123456789abcdef", files={}, metadata={"fingerprint": "ab" * 32})
STUDY: Final = Manifest(key="tune_pairs/0123456789abcdef", files={}, metadata={"fingerprint": "ab" * 32})

KEYS: Final[Mapping[type[StrictConfig], Mapping[str, Callable[[Any], str]]]] = {
    ExperimentConfig: {
        "dataset": lambda config: dataset.key(config.data, config.seed, stage="test"),
        "partition_data": lambda config: partition_data.key(config, INPUT),
        "pretrain_peers": lambda config: pretrain_peers.key(config, INPUT),
        "distill_pairs": lambda config: distill_pairs.key(config, INPUT),
        "tune_pairs": lambda config: tune_pairs.key(config, INPUT),
        "improve_swept": lambda config: improve_peers.key(config, INPUT),
        "improve_tuned": lambda config: improve_peers.key(config, STUDY),
    },
    PclConfig: {
        "dataset": lambda config: dataset.key(config.data, config.seed, stage="test"),
        "split_data": lambda config: split_data.key(config, INPUT),
        "train_pcl": lambda config: train_pcl.key(config, INPUT),
    },
    CollaborateConfig: {
        "dataset": lambda config: dataset.key(config.data, config.seed, stage="test"),
        "partition_data": lambda config: partition_data.key(config, INPUT),
        "pretrain_peers": lambda config: pretrain_peers.key(config, INPUT),
        "collaborate_peers": lambda config: collaborate_peers.key(config, INPUT),
    },
}

DEPEND: Final[Mapping[type[StrictConfig], Mapping[str, str]]] = {
    ExperimentConfig: {
        "name": "",
        "compute": "",
        "seed": "partition_data pretrain_peers distill_pairs tune_pairs improve_swept improve_tuned",
        "num_seeds": "",
        "data": "dataset",
        "data.path": "",
        "data.test_fraction": "partition_data",
        "data.validation_fraction": "partition_data",
        "partition": "partition_data",
        "augmentation": "pretrain_peers distill_pairs tune_pairs improve_swept improve_tuned",
        "peers": "pretrain_peers",
        "pretrain": "pretrain_peers",
        "distill": "distill_pairs tune_pairs improve_swept improve_tuned",
        "sweep": "distill_pairs tune_pairs improve_swept improve_tuned",
        "sweep.selection_metric": "tune_pairs improve_swept improve_tuned",
        "sweep.default_transfer_set": "tune_pairs improve_swept improve_tuned",
        "sweep.validate_every_epoch": "distill_pairs improve_swept",
        "tune": "tune_pairs improve_tuned",
    },
    PclConfig: {
        "name": "",
        "compute": "",
        "seed": "split_data train_pcl",
        "num_seeds": "train_pcl",
        "data": "dataset",
        "data.path": "",
        "data.test_fraction": "split_data",
        "data.validation_fraction": "split_data",
        "augmentation": "train_pcl",
        "architectures": "train_pcl",
        "methods": "train_pcl",
        "collaboration": "train_pcl",
        "training": "train_pcl",
        "evaluation": "train_pcl",
        "evaluation.baseline": "",
    },
    CollaborateConfig: {
        "name": "",
        "compute": "",
        "seed": "partition_data pretrain_peers collaborate_peers",
        "num_seeds": "",
        "data": "dataset",
        "data.path": "",
        "data.test_fraction": "partition_data",
        "data.validation_fraction": "partition_data",
        "partition": "partition_data",
        "augmentation": "pretrain_peers collaborate_peers",
        "peers": "pretrain_peers",
        "pretrain": "pretrain_peers",
        "rounds": "collaborate_peers",
    },
}
"""The stages whose keys depend on a section or a field. The longest name that fits a field decides."""

BASES: Final[Mapping[type[StrictConfig], Mapping[str, Any]]] = {
    ExperimentConfig: {
        "data": {"source": "image_folder", "path": "nowhere", "image_size_pixels": 4},
        "pretrain": {"method": "pcl"},
    },
    PclConfig: {
        "data": {"source": "image_folder", "path": "nowhere", "image_size_pixels": 4},
        "training": {"num_processes": 2},
    },
    CollaborateConfig: {
        "data": {"source": "image_folder", "path": "nowhere", "image_size_pixels": 4},
        "pretrain": {"method": "pcl"},
        "partition": {"public_fraction": 0.1},
        "rounds": {"methods": ["predictions", "fedprox", "ds_fl", "idkd", "dfml"]},
    },
}
"""Experiments in which every field has an effect, and can be changed alone."""

OTHERS: Final[Mapping[str, Any]] = {
    "alpha_weighs": "cross_entropy",
    "architectures": ["resnet20"],
    "background": [0, 0, 0],
    "baseline": "ema",
    "branch_point": "stage2",
    "columns_path": "columns.csv",
    "default_transfer_set": "teacher",
    "device": "cpu",
    "from": "improve_peers/0123456789abcdef",
    "given": [{"name": f"peer {number}", "network": "mlp"} for number in range(10)],
    "kdcl_ensemble": "mean",
    "label_skew.kind": "iid",
    "loss.kind": "reverse_kl",
    "losses": ["kl", "ttm"],
    "rounds.methods": ["predictions"],
    "target.kind": "mean",
    "topology.kind": "ring",
    "targets": ["teacher", "mean"],
    "learning_rates": [0.02],
    "max_own_drop": 0.1,
    "max_seconds": 9.0,
    "max_test_samples": 50,
    "max_train_samples": 50,
    "mean_batch_norm": "averaged",
    "method": "cross_entropy",
    "name": "another",
    "num_partners": 2,
    "num_workers": 3,
    "own_evaluation": "held_out",
    "own_weight": 0.5,
    "path": "elsewhere",
    "pixel_range": [0.0, 9.0],
    "precision": "bfloat16",
    "quantity_skew.kind": "dirichlet",
    "reduction": "mean",
    "resized_crop_min_area_fraction": 0.5,
    "schedule": "constant",
    "selection_metric": "own_accuracy",
    "source": "npz",
    "storage": "streamed",
    "teacher_mode": "train",
    "tracking": ["tensorboard"],
    "unreliable": [{"peer": 1, "kind": "absent"}],
    "view_batch_norm": "joined",
}
"""Another value for fields whose other value does not follow from the current one, by the end of the name."""


def other(name: str, value: Any) -> Any:
    for end, another in sorted(OTHERS.items(), key=lambda item: -len(item[0])):
        if f".{name}".endswith(f".{end}"):
            return another
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 0.9 or 0.1
        case [_, _, *_]:
            return value[:-1]
    raise AssertionError(f"OTHERS needs another value for {name}.")


def leaves(values: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{section}{name}.")
        else:
            yield section + name, value


def changed(model: type[StrictConfig], names: list[str]) -> Any:
    """Return the base with other values in these fields."""
    values = model.from_mapping(BASES[model]).model_dump(mode="json")
    for name in names:
        inner: Any = values
        *sections, last = name.split(".")
        for section in sections:
            inner = inner[section]
        another = other(name, inner[last])
        if last == "kind":
            # Each kind has fields of its own.
            inner.clear()
        inner[last] = another
    return model.from_mapping(values)


FIXED: Final = ("rounds.conventions.teacher_mode",)
"""Fields of which only the default is allowed."""

FIELDS: Final = {
    model: [name for name, _ in leaves(changed(model, []).model_dump(mode="json")) if name not in FIXED]
    for model in BASES
}


@pytest.mark.parametrize(("model", "name"), [(model, name) for model, names in FIELDS.items() for name in names])
def test_a_field_is_in_the_keys_of_the_stages_that_depend_on_it(model: type[StrictConfig], name: str) -> None:
    base, other_config = changed(model, []), changed(model, [name])
    found = {stage for stage, key in KEYS[model].items() if key(base) != key(other_config)}
    sections = [section for section in DEPEND[model] if f"{name}.".startswith(f"{section}.")]
    assert sections, f"DEPEND must say which stages depend on {name}."
    assert found == set(DEPEND[model][max(sections, key=len)].split())


def test_fields_of_collaboration_are_not_in_the_key_of_peers_trained_on_labels_alone() -> None:
    plain, other_config = (
        ExperimentConfig.from_mapping({"pretrain": {"collaboration": {"num_branches": number}}}) for number in (3, 4)
    )
    assert pretrain_peers.key(plain, INPUT) == pretrain_peers.key(other_config, INPUT)


def test_the_seed_is_in_the_key_of_a_data_set_with_a_limit() -> None:
    whole, part = (changed(ExperimentConfig, names) for names in ([], ["data.max_train_samples"]))
    assert dataset.key(whole.data, 0, stage="test") == dataset.key(whole.data, 1, stage="test")
    assert dataset.key(part.data, 0, stage="test") != dataset.key(part.data, 1, stage="test")


def test_a_different_input_gives_a_different_key() -> None:
    other_input = Manifest(
        key="input/0", files={"a": FileEntry(num_bytes=1, sha256="0" * 64)}, metadata={"fingerprint": "cd" * 32}
    )
    for stage in (partition_data, pretrain_peers, distill_pairs, tune_pairs, improve_peers):
        assert stage.key(ExperimentConfig(), INPUT) != stage.key(ExperimentConfig(), other_input)
    for stage in (split_data, train_pcl):
        assert stage.key(PclConfig(), INPUT) != stage.key(PclConfig(), other_input)


def test_the_key_of_an_input_counts_as_well_as_its_files() -> None:
    inputs = (INPUT, replace(INPUT, key="input/other"), replace(INPUT, files={"a": FileEntry(num_bytes=1, sha256="0")}))
    for stage in (pretrain_peers, distill_pairs, tune_pairs):
        assert len({stage.key(ExperimentConfig(), each) for each in inputs}) == 3
    assert len({train_pcl.key(PclConfig(), each) for each in inputs}) == 3
    assert len({collaborate_peers.key(CollaborateConfig(), each) for each in inputs}) == 3


@pytest.mark.parametrize("trials", [INPUT, STUDY])
def test_the_key_of_better_peers_follows_from_the_values_of_the_trials_and_not_from_their_files(
    trials: Manifest,
) -> None:
    key = improve_peers.key(ExperimentConfig(), trials)
    files = {"trials.parquet": FileEntry(num_bytes=1, sha256="0")}
    assert improve_peers.key(ExperimentConfig(), replace(trials, files=files)) == key
    assert improve_peers.key(ExperimentConfig(), replace(trials, metadata={"fingerprint": "cd" * 32})) != key
    assert improve_peers.key(ExperimentConfig(), replace(trials, key=f"{trials.key[:-1]}0")) != key


GIVEN: Final = {"name": "a", "network": "mlp", "weights": "a.safetensors"}


def given_key(*, path: str = "a.pt", weights: str = "ab" * 32, **changes: Any) -> str:
    """Return the key of two peers, the first of which has changed fields."""
    entries = [{**GIVEN, "weights": path, **changes}, {**GIVEN, "name": "b"}]
    references = [{"key": "weights/0", "fingerprint": weights}, {"key": "weights/1", "fingerprint": "cd" * 32}]
    partition = Manifest(key=INPUT.key, files={}, metadata={"inputs": {"weights": references}})
    return pretrain_peers.key(ExperimentConfig.from_mapping({"peers": {"given": entries}}), partition)


def test_the_key_of_given_peers_follows_from_their_networks_and_the_content_of_their_weights() -> None:
    assert given_key() == given_key(name="hospital") == given_key(path="moved.pt")
    assert given_key() != given_key(weights="ef" * 32)
    assert given_key() != given_key(network="small_cnn")


def test_a_recipe_by_which_no_peer_is_trained_is_not_in_the_key() -> None:
    entries = [GIVEN, {**GIVEN, "name": "b"}]
    configs = [
        ExperimentConfig.from_mapping({"seed": seed, "peers": {"given": entries}, "pretrain": {"epochs": epochs}})
        for seed, epochs in ((0, 3), (1, 4))
    ]
    assert pretrain_peers.key(configs[0], INPUT) == pretrain_peers.key(configs[1], INPUT)
    entries[1] = {"name": "b", "network": "mlp"}
    trained = [
        ExperimentConfig.from_mapping({**config.model_dump(mode="json"), "peers": {"given": entries}})
        for config in configs
    ]
    assert pretrain_peers.key(trained[0], INPUT) != pretrain_peers.key(trained[1], INPUT)


def with_a_field_more(annotation: Any) -> Any:
    """Return a type in which every config has one more field, with a default."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields: dict[str, Any] = {"one_more": (tuple[float, ...], (0.5,))}
        for name, field in annotation.model_fields.items():
            later = with_a_field_more(field.annotation)
            if later is not field.annotation:
                default = TypeAdapter(later).validate_json(field.default.model_dump_json())
                fields[name] = (later, Field(default=default))
        return create_model(annotation.__name__, __base__=annotation, **fields)
    kinds = () if get_origin(annotation) is tuple else get_args(annotation)
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        return Annotated[reduce(or_, map(with_a_field_more, kinds)), Field(discriminator="kind")]
    return annotation


LATER: Final = {model: with_a_field_more(model) for model in BASES}


@pytest.mark.parametrize("model", BASES)
@settings(max_examples=25)
@given(data=st.data())
def test_a_new_field_with_its_default_changes_no_key(model: type[StrictConfig], data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(FIELDS[model]), max_size=8, unique=True))
    try:
        config = changed(model, names)
    except (ValueError, KeyError):
        # Some combinations of values are refused.
        reject()
    later = LATER[model].from_json(config.to_json())
    assert len(list(leaves(later.model_dump()))) > len(list(leaves(config.model_dump()))) + 5
    for key in KEYS[model].values():
        assert key(later) == key(config)


@pytest.mark.parametrize("model", BASES)
@settings(max_examples=25)
@given(data=st.data())
def test_configs_with_the_same_keys_do_the_same_work(model: type[StrictConfig], data: st.DataObject) -> None:
    idle = [section for section, stages in DEPEND[model].items() if not stages]
    lists = st.lists(st.sampled_from(FIELDS[model]), max_size=3, unique=True)
    try:
        one, two = (changed(model, data.draw(lists)) for _ in range(2))
    except (ValueError, KeyError):
        reject()
    if all(isinstance(each, ExperimentConfig) and each.num_trained_peers == 0 for each in (one, two)):
        idle.append("pretrain")
    if all(not isinstance(each, PclConfig) and each.pretrain.method == "cross_entropy" for each in (one, two)):
        idle.append("pretrain.collaboration")
    same_keys = [key(one) for key in KEYS[model].values()] == [key(two) for key in KEYS[model].values()]
    assert same_keys == (keys.differences(one, without=idle) == keys.differences(two, without=idle))
