"""Config files: what is read, and what is refused with its place."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.presets import PRESETS
from peerkd.config.resolve import load, load_file, override

DIGITS = PRESETS["digits"]()


def test_a_file_of_yaml_is_read_and_its_missing_keys_take_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("seed: 7 # lucky\ndistill:\n  learning_rate: 1e-2\n")
    assert load_file(JOINTKD, path) == override(ExperimentConfig(), ["seed=7", "distill.learning_rate=0.01"])


def test_a_file_of_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(json.loads(DIGITS.to_json()), indent=2))
    assert load_file(JOINTKD, path) == DIGITS


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        message = f"config must be a readable file, got {path}: {reason}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            load_file(JOINTKD, path)


def test_a_missing_file_is_refused_with_a_file_of_a_similar_name(tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text("seed: 1")
    with pytest.raises(ValueError, match=r"No such file or directory \(did you mean cameras\.yaml\?\)\.$"):
        load_file(JOINTKD, tmp_path / "camera.yaml")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"seed: 1\npartition:\n\tnum_peers: 3\n", "a tab stands where YAML requires spaces in line 3, column 1"),
        (b"seed: 1\nname: a: b", "mapping values are not allowed here in line 2, column 8"),
        (b"sweep: [", "expected the node content, but found '<stream end>' in line 1, column 9"),
        (b"seed: 1\n---\nseed: 2", "a second document begins in line 2, column 1"),
        (
            b"seed: 1\nname: twice\nseed: 2\n",
            "seed must occur only once in a mapping, but occurs again in line 3, column 1",
        ),
        (b"name: a\0b", "the character U+0000 is not allowed in line 1, column 8"),
        (
            b"name: !!python/none x",
            "the tag !!python/none is not a standard YAML tag, or does not fit its value in line 1",
        ),
        (b"seed: !!bool maybe", "!!bool must be true or false, got maybe in line 1, column 7"),
    ],
)
def test_a_file_that_is_not_yaml_is_refused_with_the_place(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_bytes(content)
    message = f"config must be YAML or JSON, got {path}: {problem}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_file(JOINTKD, path)


@pytest.mark.parametrize("content", ["seed: 1\nname: é".encode("latin-1"), "a\n".encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_bytes(content)
    line = 2 if b"seed" in content else 1
    message = f"config must be a UTF-8 text file, got {path}: line {line} is not valid UTF-8."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_file(JOINTKD, path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_bytes("seed: 7".encode("utf-8-sig"))
    assert load_file(JOINTKD, path).seed == 7


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["fifo", "device"])
def test_a_pipe_or_a_device_is_refused_without_waiting(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "experiment.yaml"
    make(path)
    message = f"config must be a readable file, got {path}: it is a pipe or a device."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_file(JOINTKD, path)


def test_a_file_is_refused_by_its_size_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)
    message = f"config must have at most 1,048,576 bytes, got {path}, which is larger."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_file(JOINTKD, path)


@pytest.mark.parametrize(
    ("content", "held"), [("", "nothing"), ("- seed", '["seed"]'), ("seed", '"seed"'), ("null", "null")]
)
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, content: str, held: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(content)
    message = f"config must contain a mapping of keys to values, got {held} in {path}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_file(JOINTKD, path)


def test_a_file_replaces_the_preset_and_can_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("seed: 7\n")
    loaded = load(JOINTKD, preset=None, config_file=path, overrides=["name=mine"])
    assert loaded == ExperimentConfig(seed=7, name="mine")
    assert load(JOINTKD, preset="poster", config_file=None, overrides=[]) == PRESETS["poster"]()
