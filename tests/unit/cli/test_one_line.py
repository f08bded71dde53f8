"""Configs as one line, which forms and commands pass on as the parameter ``config_json``."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from peerkd.cli.main import app
from peerkd.cli.one_line import to_line
from peerkd.config.pipelines import JOINTKD, PIPELINES, Pipeline
from peerkd.config.resolve import resolve
from peerkd.config.strict import StrictConfig

GIVEN = [
    {"name": "north", "network": "mlp", "weights": "s3://models/north.pt", "data": "s3://images/a b"},
    {
        "name": "south",
        "network": "hospital_nets:build",
        "data": "s3://images/south.npz",
        "classes": ["no", "1.0", "\U0001f600", "na\u00efve: a, b"],
        "mean": [0.5, 1.0, 0],
        "std": [0.25, 1.0, 1],
    },
]


@pytest.mark.parametrize(
    ("pipeline", "preset"), [(pipeline, name) for pipeline in PIPELINES.values() for name in pipeline.presets]
)
def test_the_line_of_a_preset_is_that_preset(pipeline: Pipeline[StrictConfig], preset: str) -> None:
    config = pipeline.presets[preset]()
    assert resolve(pipeline, config_json=to_line(config)) == config


@pytest.mark.parametrize("key", [None, "improve_peers/0123456789abcdef"])
def test_the_line_of_own_peers_arrives_as_it_was_printed(key: str | None) -> None:
    values: dict[str, Any] = {"data": {"source": "peers"}, "peers": {"given": GIVEN, "from": key}}
    config = JOINTKD.config.from_mapping(values)
    line = to_line(config)
    assert resolve(JOINTKD, config_json=line) == config
    # A field of a form has one line, the server of KFP refuses emoji, and its command line would parse JSON.
    assert "\n" not in line
    assert line.isascii()
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)
    # The fields of a peer that have their defaults are omitted.
    assert "null" not in line


def test_the_command_prints_the_line() -> None:
    ended = CliRunner().invoke(app, ["config", "show", "--one-line", "--set", "seed=3", "--set", "name=mine"])
    assert ended.exit_code == 0
    line, end = ended.stdout.split("\n")
    assert end == ""
    assert resolve(JOINTKD, config_json=line) == resolve(JOINTKD, preset="digits", overrides="seed=3 name=mine")
