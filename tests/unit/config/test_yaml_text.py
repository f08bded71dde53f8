import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from peerkd.config.yaml_text import read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("-007", -7), ("+1", 1), ("0o10", 8), ("0x1F", 31), ("9223372036854775807", 2**63 - 1),
        ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-2.5E-1", -0.25), (".inf", math.inf), ("-.INF", -math.inf),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("!!str 010", "010"), ("!!int '3'", 3), ("!!float 3", 3.0), ("!!float 0x10", 16.0),
    ],
)  # fmt: skip
def test_a_plain_scalar_has_the_type_of_the_core_schema(text: str, value: object) -> None:
    read = read_yaml(text)
    assert (read, type(read)) == (value, type(value))


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(read_yaml(".nan"))


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T01:02:03Z",
        "12:30:45",
        "1:30",
        "1_000",
        "0b11",
        "0O10",
        "0X1f",
        "1e",
        "0x",
        "0o8",
        ".5.5",
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "tRUE",
        "nan",
        "=",
    ],
)
def test_scalars_with_another_type_in_yaml_1_1_only_are_strings(text: str) -> None:
    assert read_yaml(text) == text


def test_a_mapping_may_be_written_once_and_used_again() -> None:
    text = "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\nboth: {<<: [{a: 5}, *base]}\nsame: *base\n"
    assert read_yaml(text) == {
        "base": {"a": 1, "b": 2},
        "other": {"a": 1, "b": 3},
        "both": {"a": 5, "b": 2},
        "same": {"a": 1, "b": 2},
    }


@pytest.mark.parametrize("text", ['{\n\t"a": 1}', '{"a": "\\ud83d\\ude00"}', '[1, 2.5, null, true, "\\/"]'])
def test_json_that_the_yaml_parser_refuses_is_read(text: str) -> None:
    read_yaml(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "a must occur only once in a mapping, but occurs again in line 2, column 1"),
        ('{"a": 1, "a": 2}', "a must occur only once in a mapping, but occurs again in line 1, column 10"),
        ("{<<: {a: 1}, <<: {a: 1}}", "<< must occur only once in a mapping, but occurs again in line 1, column 14"),
        ("<<: 3", "<< must be given a mapping or a list of mappings in line 1, column 5"),
        ("- a\n- 1: 2", "a key must be a string, got 1 in line 2, column 3"),
        ("? [a]\n: b", "a key must be a string, got a list or a mapping in line 1, column 3"),
        ("!!bool maybe", "!!bool must be true or false, got maybe in line 1, column 1"),
        ("!!int 1.5", "!!int must be a whole number, got 1.5 in line 1, column 1"),
        ("a: !!python/object:os.system x", "the tag !!python/object:os.system is not a standard YAML tag"),
        ("!!binary aGk=", "the tag !!binary is not a standard YAML tag"),
        ("!!timestamp 2026-01-01", "the tag !!timestamp is not a standard YAML tag"),
        ("!!map x", "the tag !!map is not a standard YAML tag, or does not fit its value in line 1, column 1"),
        ("!mine x", "the tag !mine is not a standard YAML tag"),
        ("a: \x1b[31m", "the character U+001B is not allowed in line 1, column 4"),
        ("a: &a [*a]", "the alias *a is inside its own anchor in line 1, column 8"),
        ("*a", "found undefined alias 'a' in line 1, column 1"),
        ("9223372036854775808", "a whole number must fit into 64 bits, got 9223372036854775808 in line 1"),
        (
            "%YAML 1.1\n---\nseed: 010",
            "the directive %YAML requests version 1.1, and configs are YAML 1.2",
        ),
        ("9" * 5000, "a whole number must fit into 64 bits, got 999"),
        ("1e400", "a number must fit into 64 bits, got 1e400 in line 1, column 1"),
    ],
)
def test_invalid_yaml_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_yaml(text)
    assert str(caught.value).startswith(problem)


def bomb() -> str:
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"{to}: &{to} [{','.join([f'*{of}'] * 10)}]" for of, to in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb(), "it has more than 10,000 values"),
        ("- 1\n" * 60_000, "it has more than 10,000 values"),
        ("[" * 3000, "lists and mappings are nested more than 40 levels deep"),
        ("{a: " * 3000, "lists and mappings are nested more than 40 levels deep"),
        ("- " * 3000, "lists and mappings are nested more than 40 levels deep"),
        ("a" * 300_000, "it has 300,000 characters, and the limit is 262,144"),
    ],
    ids=["aliases", "values", "brackets", "braces", "hyphens", "characters"],
)
def test_yaml_that_would_take_long_is_refused_at_once(text: str, problem: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=f"^{problem}"):
        read_yaml(text)
    assert time.process_time() - started < 2


_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()


@settings(max_examples=50)
@given(value=st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_written_values_are_read_back_unchanged(value: Any) -> None:
    assert read_yaml(write_yaml(value)) == value


@pytest.mark.parametrize("text", ["yes", "010", "0o10", "1e3", "1_000", "12:30:45", "~", "2026-01-31", ".5", "<<"])
def test_a_text_that_looks_like_another_type_is_quoted_for_both_versions(text: str) -> None:
    written = write_yaml({"a": text, text: 1})
    assert read_yaml(written) == {"a": text, text: 1}
    assert yaml.safe_load(written)["a"] == text
