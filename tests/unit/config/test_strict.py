import json
import pickle
import re
from typing import Any

import pytest
from pydantic import ValidationError

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.strict import StrictConfig
from peerkd.config.violations import ConfigError

DEFAULTS = ExperimentConfig().model_dump(mode="json")


def sections(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every mapping in a config, beginning with the config itself."""
    inner = [
        found for key, value in values.items() if isinstance(value, dict) for found in sections(value, (*path, key))
    ]
    return [path, *inner]


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return the default experiment as a mapping with one value set."""
    values = json.loads(json.dumps(DEFAULTS))
    *outer, last = path
    inner = values
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return values


def refusal(values: Any) -> str:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        ExperimentConfig.from_json(json.dumps(values))
    return str(caught.value)


def test_the_sections_under_test_are_all_there_are() -> None:
    assert [".".join(path) for path in sections(DEFAULTS)] == [
        "", "data", "augmentation", "partition", "partition.label_skew", "partition.quantity_skew", "peers",
        "pretrain", "pretrain.collaboration", "compute", "distill", "distill.loss", "distill.target",
        "distill.conventions", "sweep", "tune",
    ]  # fmt: skip


@pytest.mark.parametrize("section", sections(DEFAULTS), ids=lambda path: ".".join(path) or "top")
def test_an_unknown_key_is_refused_at_every_level(section: tuple[str, ...]) -> None:
    path = (*section, "colour")
    assert refusal(with_value(path, "red")) == f'{".".join(path)} is not a key of the config, got "red".'


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("seed",), "3", 'seed must be a whole number without quotes, as in 3, got "3".'),
        (("seed",), "three", 'seed must be a whole number, got "three".'),
        (("seed",), 3.5, "seed must be a whole number, got 3.5."),
        (("seed",), True, "seed must be a whole number, got true."),
        (("distill", "learning_rate"), "fast", 'distill.learning_rate must be a number, got "fast".'),
        (("pretrain", "nesterov"), 1, "pretrain.nesterov must be true or false, got 1."),
        (("pretrain", "nesterov"), "yes", 'pretrain.nesterov must be true or false (did you mean true?), got "yes".'),
        (("name",), None, "name must be text, got null."),
        (("name",), 3, 'name must be text, as in "3", got 3.'),
        (("data",), 3, "data must be a section of fields, as in {source: digits}, got 3."),
        (("distill", "loss"), "kl", 'distill.loss must be a section with a kind, as in {kind: kl}, got "kl".'),
        (("sweep", "alphas"), [], "sweep.alphas must have at least 1 entry, got []."),
        (("sweep", "alphas"), 0.5, "sweep.alphas must be a list, as in [0.5], got 0.5."),
        (("peers", "architectures"), "mlp", 'peers.architectures must be a list, as in ["mlp"], got "mlp".'),
        (("sweep", "alphas"), {"a": 1}, 'sweep.alphas must be a list, as in [a, b], got {"a": 1}.'),
        (("sweep", "alphas"), [0.5, "a"], 'sweep.alphas[1] must be a number, got "a".'),
        (
            ("compute", "device"),
            "npu",
            'compute.device must be one of auto, cpu, cuda, mps, got "npu" (did you mean cpu?).',
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named_and_never_converted(
    path: tuple[str, ...], value: object, message: str
) -> None:
    assert refusal(with_value(path, value)) == message


@pytest.mark.parametrize(("value", "written"), [(float("nan"), "NaN"), (float("inf"), "Infinity")])
def test_a_number_that_is_not_finite_is_refused(value: float, written: str) -> None:
    values = with_value(("distill", "learning_rate"), value)
    assert refusal(values) == f"distill.learning_rate must be a finite number, got {written}."


def test_the_path_of_an_error_has_no_trace_of_the_kind_of_a_section() -> None:
    values = with_value(("partition", "label_skew"), {"kind": "classes", "classes_per_peer": 0})
    assert refusal(values) == "partition.label_skew.classes_per_peer must be at least 1, got 0."


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"kind": "classes"},
            "partition.label_skew.classes_per_peer is required: the number of classes of each peer, at most the number "
            "of classes of the data set.",
        ),
        ({}, "partition.label_skew.kind is required, got {}."),
        (
            {"column": "camera"},
            'partition.label_skew.kind is required, got {"column": "camera"}; add kind: natural.',
        ),
        ({"kind": "natural"}, "partition.label_skew.column is required: the name of the column with the ids."),
        (
            {"kind:iid": None},
            'partition.label_skew.kind is required (YAML requires a space after each colon), got {"kind:iid": null}.',
        ),
        (
            {"kind": "zipf"},
            "partition.label_skew.kind must be one of iid, dirichlet, classes, shards, natural, indices, own, "
            "got zipf.",
        ),
        (
            {"kind": "iid", "concentration": 1.0},
            "partition.label_skew.concentration is not a key of the kind iid (it belongs to dirichlet), got 1.0.",
        ),
    ],
)
def test_a_section_must_be_of_one_kind_and_have_its_keys(section: dict[str, Any], message: str) -> None:
    assert refusal(with_value(("partition", "label_skew"), section)) == message


def test_all_broken_rules_are_reported_each_in_a_line() -> None:
    values = with_value(("seed",), -1) | {"name": "?", "colour": "red"}
    assert refusal(values).splitlines() == [
        "The config has 3 errors:",
        "  name must be 2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last, "
        'got "?".',
        "  seed must be at least 0, got -1.",
        '  colour is not a key of the config, got "red".',
    ]


def test_a_rule_that_only_a_misspelled_key_breaks_is_left_out() -> None:
    values = with_value(("partition", "label_skew"), {"kind": "classes", "clases_per_peer": 3})
    assert refusal(values) == (
        "partition.label_skew.clases_per_peer is not a key of the config "
        "(did you mean partition.label_skew.classes_per_peer?), got 3."
    )
    # Only two entries are valid, but the list has a third.
    assert refusal(with_value(("sweep", "temperatures"), [0])) == "sweep.temperatures[0] must be above 0, got 0."


def test_a_message_lists_at_most_twenty_errors() -> None:
    lines = refusal({f"colour{number}": 1 for number in range(30)}).splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("The config has 30 errors:", 22, "  and 10 more.")


def test_the_error_of_a_config_can_be_sent_to_another_process() -> None:
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig.from_mapping({"seed": -1, "name": 3})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.broken) == (str(caught.value), caught.value.broken)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expecting value in line 1, column 1"),
        ("{", "expecting property name enclosed in double quotes in line 1, column 2"),
        ("seed: 1", "expecting value in line 1, column 1"),
        ('{"seed": 1, "seed": 2}', "seed must occur only once in an object, but occurs 2 times"),
        ('{"seed": 010}', "expecting ',' delimiter in line 1, column 11"),
        ("[" * 5000, "lists and objects are nested more than 40 levels deep"),
        ("[" * 42 + "]" * 42, "lists and objects are nested more than 40 levels deep"),
        (str([0] * 10_000), "it has more than 10,000 values"),
        ('{"seed": 99999999999999999999}', "a whole number must fit into 64 bits, got 99999999999999999999"),
        ('{"seed": 1e400}', "a number must fit into 64 bits, got 1e400"),
    ],
)
def test_a_text_that_is_not_json_is_refused(text: str, problem: str) -> None:
    shown = json.dumps(text)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    message = f"The config must be JSON, got {shown}: {problem}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ExperimentConfig.from_json(text)


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"data": {"pth": "x"}}, "data.pth is not a key of the config (did you mean data.path?)"),
        ({"num_peers": 3}, "num_peers is not a key of the config (did you mean partition.num_peers or num_seeds?)"),
        ({"epochs": 3}, "epochs is not a key of the config (did you mean pretrain.epochs or distill.epochs?)"),
        ({"sweep": {"alphas[0]": 1}}, "sweep.alphas[0] is not a key of the config (did you mean sweep.alphas?)"),
        (
            {"partition.num_peers": 3},
            "partition.num_peers is not a key of the config in this form (write num_peers inside partition)",
        ),
        (
            {"pretrain": {"collaboration.temperature": 2}},
            "pretrain.collaboration.temperature is not a key of the config in this form "
            "(write temperature inside pretrain.collaboration)",
        ),
        (
            {"distill": {"epochs:5": None}},
            "distill.epochs:5 is not a key of the config (YAML requires a space after each colon)",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(values: dict[str, Any], meant: str) -> None:
    assert refusal(values).startswith(meant)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x" * 10**6},
        {"x" * 10**6: 1},
        {"data": {"path": "x" * 10**6}},
        {"partition": {"label_skew": {"kind": "x" * 10**6}}},
        {"sweep": {"temperatures": [1.0] * 1000}},
    ],
)
def test_a_message_contains_at_most_a_line_of_a_value(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        ExperimentConfig.from_mapping(values)
    assert len(str(caught.value)) < 350


def test_a_message_has_no_control_characters() -> None:
    assert refusal({"name": "\x1b[31m\n\u202e"}).endswith('got "\\u001b[31m\\n\\u202e".')
    assert refusal({"\x1b[31m": 1}) == "\\x1b[31m is not a key of the config, got 1."


@pytest.mark.parametrize("text", ["[]", "3", "null", '"digits"'])
def test_json_that_is_not_an_object_is_refused(text: str) -> None:
    message = f"The config must be a mapping of keys to values, got {text}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ExperimentConfig.from_json(text)


@pytest.mark.parametrize("value", [b"hi", {1}, ...])
def test_a_mapping_that_json_cannot_represent_is_refused(value: object) -> None:
    message = f'The config must contain only values that JSON can represent, got "{ ({"name": value}) }".'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ExperimentConfig.from_mapping({"name": value})


def test_a_config_is_frozen_at_every_level() -> None:
    config = ExperimentConfig()
    for section, field in ((config, "seed"), (config.distill.conventions, "reduction"), (config.sweep, "alphas")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, field, getattr(section, field))


def test_the_text_is_the_same_however_the_keys_were_ordered() -> None:
    backwards = dict(reversed(DEFAULTS.items()))
    assert ExperimentConfig.from_mapping(backwards).to_json() == ExperimentConfig().to_json()


def test_the_text_has_sorted_keys_and_every_default() -> None:
    class Colour(StrictConfig):
        red: int = 1
        blue: tuple[int, ...] = (2, 3)

    assert Colour().to_json() == '{"blue": [2, 3], "red": 1}'
    assert Colour.from_json("{}") == Colour.from_json(Colour().to_json())
