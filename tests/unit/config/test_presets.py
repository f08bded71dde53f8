import json
from math import prod
from typing import Any

import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_the_way_through_json(name: str) -> None:
    config = PRESETS[name]()
    again = ExperimentConfig.from_json(config.to_json())
    assert again == config
    assert again.to_json() == config.to_json()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_written_out_has_every_field(name: str) -> None:
    def shape(values: Any) -> Any:
        return {key: shape(value) for key, value in values.items()} if isinstance(values, dict) else None

    assert shape(json.loads(PRESETS[name]().to_json())) == shape(ExperimentConfig().model_dump())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_described_in_one_line_and_has_its_name_in_reports(name: str) -> None:
    first_line = (PRESETS[name].__doc__ or "").splitlines()[0]
    assert first_line.endswith(".")
    assert PRESETS[name]().name == name.replace("_", "-")


def num_trials(config: ExperimentConfig) -> int:
    """Count the trials of a study: the grid, the untuned default, and one control for each training set."""
    num_peers, sweep = config.partition.num_peers, config.sweep
    num_pairs = num_peers * (num_peers - 1)
    grid = {(t, a) for t in sweep.temperatures for a in sweep.alphas} | {(1.0, 0.5)}
    controls = {"student": num_peers, "teacher": num_pairs, "both": num_pairs}
    return prod((num_pairs, len(sweep.transfer_sets), len(grid))) + sum(controls[name] for name in sweep.transfer_sets)


def test_the_numbers_in_the_description_of_digits_are_right() -> None:
    config = PRESETS["digits"]()
    description = PRESETS["digits"].__doc__ or ""
    num_peers = config.partition.num_peers
    assert num_peers == 10
    assert f"{num_peers * (num_peers - 1)} ordered pairs" in description
    assert f"{num_trials(config):,} trials" in description


def test_only_digits_needs_no_path() -> None:
    assert {name: preset().data.path for name, preset in PRESETS.items()} == {
        "digits": None,
        "cifar10_small": "data/cifar10",
        "poster": "data",
    }


def test_the_poster_is_the_study() -> None:
    config = PRESETS["poster"]()
    assert (config.partition.num_peers, config.data.source) == (10, "cifar10")
    assert set(config.architectures) == {"resnet18"}
    assert config.data.max_train_samples is None
    assert set(config.sweep.transfer_sets) == {"student", "teacher", "both"}
