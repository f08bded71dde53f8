"""The rules for the schemas of all pipelines' configs."""

from collections.abc import Iterator
from typing import Any

import pytest

from peerkd.config.pipelines import JOINTKD, PCL, PIPELINES, Pipeline
from peerkd.config.strict import StrictConfig

each_pipeline = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)


def sections(pipeline: Pipeline[StrictConfig]) -> dict[str, dict[str, Any]]:
    schema = pipeline.config.model_json_schema()
    return {pipeline.config.__name__: schema, **schema["$defs"]}


def fields(pipeline: Pipeline[StrictConfig]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of every section with its schema."""
    for title, section in sections(pipeline).items():
        for name, field in section["properties"].items():
            yield f"{title}.{name}", field


@each_pipeline
def test_every_field_is_described(pipeline: Pipeline[StrictConfig]) -> None:
    bare = [name for name, field in fields(pipeline) if not ({"description", "$ref"} & field.keys())]
    # A section's kind is described by the section.
    assert [name for name in bare if not name.endswith(".kind")] == []


@each_pipeline
def test_every_section_is_described_and_refuses_unknown_keys(pipeline: Pipeline[StrictConfig]) -> None:
    assert all(section.get("description") for section in sections(pipeline).values())
    assert all(section["additionalProperties"] is False for section in sections(pipeline).values())


@each_pipeline
def test_the_defaults_are_the_default_experiment(pipeline: Pipeline[StrictConfig]) -> None:
    schema = pipeline.config.model_json_schema()
    defaults = {name: field["default"] for name, field in schema["properties"].items()}
    assert pipeline.config.from_mapping(defaults) == pipeline.config()


@each_pipeline
def test_an_omitted_section_equals_an_empty_one(pipeline: Pipeline[StrictConfig]) -> None:
    # Otherwise the reference page would show wrong defaults for one of the two.
    schema = pipeline.config.model_json_schema()
    empty = {name: {} for name, field in schema["properties"].items() if "$ref" in field}
    assert len(empty) > 4
    assert pipeline.config.from_mapping(empty) == pipeline.config()


def test_the_docstring_of_a_field_is_its_description() -> None:
    described = {name: field.get("description") for pipeline in (JOINTKD, PCL) for name, field in fields(pipeline)}
    assert described["ExperimentConfig.seed"] == "The seed from which all random numbers of the experiment are derived."
    assert (
        described["DataConfig.path"]
        == "The folder or file of the data set, or its s3:// address. Every source except digits and peers "
        "requires it."
    )
    assert described["PartitionConfig.own_evaluation"].startswith(
        "The source of a peer's own validation and test sets."
    )
    assert described["CollaborationConfig.branch_point"].startswith("The first block of which each branch has")
