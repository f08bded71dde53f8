import re
from pathlib import Path

import pytest
import yaml

from peerkd.launch.package import MAX_ARGUMENT_BYTES, Package, read_arguments, read_package, texts

PIPELINES = Path(__file__).parents[3] / "pipelines"


@pytest.fixture(scope="module")
def package() -> Package:
    return read_package(PIPELINES / "jointkd.yaml")


def test_a_value_stays_the_text_that_was_typed(package: Package) -> None:
    pairs = ["num_workers=2", "overrides=seed=007 tag=1e3", 'config_json={"a": 1}', "cluster=true"]
    assert read_arguments(package, pairs) == {
        "num_workers": "2",
        "overrides": "seed=007 tag=1e3",
        "config_json": '{"a": 1}',
        "cluster": "true",
    }


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["seed"], "An argument must have the form key=value, got seed."),
        (["=1"], "An argument must have the form key=value, got =1."),
        (["presets=digits"], "presets is not a parameter of jointkd, which has backend, cluster, config_json, gpus,"),
        (["gpus=1", "gpus=2"], "gpus must be given once, got 1 and 2."),
        (
            ["overrides=name=\N{ROCKET}"],
            "overrides must not contain emoji or similar characters, which the server refuses, got ",
        ),
        (
            ["preset=digits", "config_json=" + "x" * MAX_ARGUMENT_BYTES],
            "The arguments must have at most 10,000 bytes together, got 10,039; the largest is config_json.",
        ),
    ],
)
def test_arguments_that_the_server_would_refuse_are_refused_before(
    package: Package, pairs: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        read_arguments(package, pairs)


def test_letters_of_other_languages_are_no_emoji(package: Package) -> None:
    assert read_arguments(package, ["overrides=name=é€漢"]) == {"overrides": "name=é€漢"}


def typed(kind: str, **more: object) -> Package:
    parameters = {"value": {"parameterType": kind, **more}}
    return Package(name="typed", parameters=parameters, images=frozenset(), documents=())


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("NUMBER_INTEGER", "7", 7),
        ("NUMBER_DOUBLE", "7", 7),
        ("BOOLEAN", "true", True),
        ("LIST", "[1]", [1]),
        ("STRUCT", '{"a": 1}', {"a": 1}),
    ],
)
def test_other_types_are_read_as_json(kind: str, text: str, value: object) -> None:
    assert read_arguments(typed(kind), [f"value={text}"]) == {"value": value}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("NUMBER_INTEGER", "1.5"),
        ("NUMBER_INTEGER", "true"),
        ("NUMBER_INTEGER", "010"),
        ("NUMBER_DOUBLE", "NaN"),
        ("NUMBER_DOUBLE", "1e999"),
        ("BOOLEAN", "1"),
        ("LIST", "{}"),
        ("LIST", "[Infinity]"),
        ("STRUCT", "no json"),
        ("STRUCT", '{"a": 1, "a": 2}'),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^value must be .*, got "):
        read_arguments(typed(kind), [f"value={text}"])


def test_a_parameter_without_default_must_be_given_and_an_optional_one_not() -> None:
    with pytest.raises(ValueError, match=r"^value is required\.$"):
        read_arguments(typed("STRING"), [])
    assert read_arguments(typed("STRING", isOptional=True), []) == {}
    assert read_arguments(typed("STRING", defaultValue=""), []) == {}


def test_texts_are_the_given_values_or_the_defaults(package: Package) -> None:
    given = texts(package, {"preset": "poster"})
    assert (given["preset"], given["backend"], given["gpus"]) == ("poster", "auto", "")


def test_another_image_is_that_of_every_task_and_changes_nothing_else(package: Package) -> None:
    other = package.with_image("registry.example/control@sha256:0")
    assert other.images == {"registry.example/control@sha256:0"}
    assert len(package.images) == 1
    text = yaml.safe_dump_all(other.documents, sort_keys=False).replace(
        "registry.example/control@sha256:0", next(iter(package.images))
    )
    assert list(yaml.safe_load_all(text)) == list(package.documents)


def test_without_the_cache_no_task_of_a_graph_or_of_a_nested_graph_is_cached() -> None:
    cached = {"cachingOptions": {"enableCache": True}, "componentRef": {"name": "comp"}}
    spec = {
        "pipelineInfo": {"name": "nested"},
        "deploymentSpec": {"executors": {}},
        "root": {"dag": {"tasks": {"outer": cached}}},
        "components": {"comp-outer": {"dag": {"tasks": {"inner": cached}}}, "comp": {"executorLabel": "exec"}},
    }
    package = Package(name="nested", parameters={}, images=frozenset(), documents=(spec,))
    assert "cachingOptions" not in str(package.without_cache().documents)
    assert "cachingOptions" in str(package.documents)


def test_both_documents_are_kept(package: Package, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump_all(package.documents, sort_keys=False))
    assert read_package(file) == package
    assert len(package.documents) == 2


@pytest.mark.parametrize("text", ["", "a: 1", "[1]", "{", "pipelineInfo: {name: x}"])
def test_a_file_of_another_kind_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"^pipeline must be .*, got {file}(\.|: .* in line 1, column 2\.)$"):
        read_package(file)
    with pytest.raises(ValueError, match=r"^pipeline must be a readable file, got .*: No such file"):
        read_package(tmp_path / "none.yaml")
