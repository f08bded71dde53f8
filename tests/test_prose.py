"""Docstrings stand alone: each begins with a noun or a verb, so that a reader needs no other line to understand it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("peerkd", "components", "pipelines", "benchmarks", "tests")

REFUSED_FIRST_WORDS = {
    "Of",
    "That",
    "By",
    "As",
    "For",
    "Whose",
    "Where",
    "Who",
    "In",
    "To",
    "From",
    "With",
    "When",
    "Per",
}
"""First words that no docstring may have, because the beginning of the sentence would be missing."""

REFUSED_WORDS = {"mend": "fix"}
"""Words for which a common one exists."""

FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string that is a statement: docstrings, including those of attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def fragments(source: str) -> list[tuple[int, str]]:
    """Return line and first line of each docstring that begins with a refused word."""
    return [
        (line, text.partition("\n")[0])
        for line, text in docstrings(source)
        if re.split(r"\W", text, maxsplit=1)[0] in REFUSED_FIRST_WORDS
    ]


def refused_words(text: str) -> list[str]:
    """Return the refused words of a text, in any inflection."""
    return re.findall(rf"\b(?:{'|'.join(REFUSED_WORDS)})(?:s|ed|ing)?\b", text, re.IGNORECASE)


@pytest.mark.parametrize("folder", sorted({path.parent.relative_to(ROOT).as_posix() for path in FILES}))
def test_no_docstring_begins_in_the_middle_of_a_sentence(folder: str) -> None:
    found = {path.name: fragments(path.read_text(encoding="utf-8")) for path in sorted((ROOT / folder).glob("*.py"))}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_text_has_a_word_for_which_a_common_one_exists() -> None:
    found = {path.relative_to(ROOT).as_posix(): refused_words(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: words for name, words in found.items() if words} == {}


def test_the_rule_finds_fragments_of_modules_functions_and_attributes() -> None:
    source = '"""Of nothing."""\nlimit = 3\n"""By which it ends.\n\nMore."""\ndef f():\n    """Return 1; For."""\n'
    assert fragments(source) == [(1, "Of nothing."), (3, "By which it ends.")]
    assert fragments('"""Format of a file; forms, offers."""\nx = "For a reason"\n') == []


def test_the_rule_finds_a_refused_word_in_any_inflection() -> None:
    assert refused_words("Mended, they mend; recommended amendments.") == ["Mended", "mend"]
