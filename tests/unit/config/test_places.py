import json
from pathlib import Path

import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.places import Place, find_places
from peerkd.config.resolve import load, resolve
from peerkd.config.violations import ConfigError

YAML = """\
name: X
partition:
  num_peer: 3
  label_skew: {kind: dirichlet, concentration: -1}
sweep:
  alphas: [0.5, 1.5]
data: {source: npz}
peers:
  given:
  - {name: a, netwrk: mlp}
"""


def test_keys_and_values_have_places() -> None:
    places = find_places("seed: 1\nsweep:\n  alphas:\n  - 0.5\n  - {a: b}\n")
    assert places["seed",] == (Place(1, 1), Place(1, 7))
    assert places["sweep",] == (Place(2, 1), Place(3, 3))
    assert places["sweep", "alphas", 1] == (Place(5, 5), Place(5, 5))
    assert places["sweep", "alphas", 1, "a"] == (Place(5, 6), Place(5, 9))


def test_json_has_places_even_with_tabs_and_escapes() -> None:
    places = find_places('{\n\t"name": "\\ud83d\\ude00\\/",\n\t"seed": 3\n}')
    assert places["seed",] == (Place(3, 2), Place(3, 10))


def test_a_merged_mapping_has_the_places_where_its_values_are_written() -> None:
    places = find_places("base: &b {a: 1, b: 2}\nother:\n  <<: *b\n  a: 3\n")
    assert places["other", "a"].value == Place(4, 6)
    assert places["other", "b"].value == Place(1, 20)


@pytest.mark.parametrize("text", ["", "a: [", "3"])
def test_a_text_without_keys_has_no_places(text: str) -> None:
    assert find_places(text) == {}


def test_each_error_of_a_file_begins_with_its_place_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(YAML)
    with pytest.raises(ConfigError, match=r"^The config has 7 errors:") as caught:
        load(JOINTKD, preset=None, config_file=path, overrides=["seed=-1"])
    assert [rule.text.split(" must ")[0].split(" is ")[0] for rule in caught.value.broken] == [
        f"{path}, line 1, column 7: name",
        f"{path}, line 3, column 3: partition.num_peer",
        f"{path}, line 4, column 48: partition.label_skew.concentration",
        f"{path}, line 6, column 17: sweep.alphas[1]",
        # A key that is missing has the place of the section that lacks it.
        f"{path}, line 7, column 7: data.path",
        f"{path}, line 10, column 15: peers.given[0].netwrk",
        # What --set gives is not in the file.
        "seed",
    ]


def test_a_rule_of_several_sections_has_the_place_of_the_field_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps({"sweep": {"transfer_sets": ["public"]}, "partition": {"public_fraction": 0}}, indent=1))
    with pytest.raises(ValueError, match=r"experiment\.json, line 8, column 22: partition\.public_fraction must be"):
        load(JOINTKD, preset=None, config_file=path, overrides=[])


def test_a_config_in_a_parameter_has_places_too() -> None:
    with pytest.raises(
        ValueError, match=r"^config_json, line 1, column 22: sweep\.alphas must be a list, as in \[0\.5\]"
    ):
        resolve(JOINTKD, config_json='{"sweep": {"alphas": 0.5}}')
    # An override wins, so the mistake is not in the text.
    with pytest.raises(ValueError, match=r"^sweep\.alphas must be a list"):
        resolve(JOINTKD, config_json='{"sweep": {"alphas": [0.5]}}', overrides="sweep.alphas=1")
