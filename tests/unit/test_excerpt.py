from pathlib import Path

import pytest

from peerkd.excerpt import excerpt, plain, plain_path, sentence, start_of


@pytest.mark.parametrize(("value", "shown"), [("3", '"3"'), (3, "3"), (None, "null"), ([1, "é"], '[1, "é"]')])
def test_a_value_is_shown_as_json(value: object, shown: str) -> None:
    assert excerpt(value) == shown


def test_a_text_is_shown_on_one_line_without_characters_that_cannot_be_printed() -> None:
    assert plain("a\nb\x1b[31m\u202e é") == "a\\nb\\x1b[31m\\u202e é"


@pytest.mark.parametrize("text", ["x" * 81, "\n" * 41, "x" * 10**7])
def test_a_long_text_is_shortened(text: str) -> None:
    assert len(plain(text)) == 80
    assert plain(text).endswith("...")


def test_a_text_of_the_greatest_length_is_shown_whole() -> None:
    assert plain("x" * 80) == "x" * 80


def test_a_relative_path_is_shown_with_the_folder_at_which_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert start_of(Path("images/north")) == f", which begins at {tmp_path}"
    assert start_of(tmp_path / "images") == ""


def test_a_path_is_shown_with_its_end() -> None:
    path = f"/{'folder/' * 20}experiment.yaml"
    assert plain_path(path) == path
    assert len(plain_path("x" * 5000)) == 200


def test_a_long_word_and_a_long_message_are_shortened() -> None:
    assert sentence(f"got {'x' * 1000}: fix it") == f"got {'x' * 220}... fix it"
    assert len(sentence("a word " * 1000)) == 800
