"""The glossary is sorted, names code that exists, and explains the classes of the domain."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

MUST_BE_EXPLAINED = (*sorted((ROOT / "peerkd" / "study").glob("*.py")), ROOT / "peerkd" / "tuning" / "protocol.py")
"""Modules whose public classes are terms."""

EXPLAINED_ELSEWHERE = {"peerkd.tuning.protocol.EarlierSweep"}
"""Classes of these modules whose names are plain English."""


class Entry(NamedTuple):
    term: str
    meaning: str
    names: tuple[str, ...]


def entries() -> list[Entry]:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|([^|]*)\|$", text, re.MULTILINE)
    return [Entry(term, meaning, tuple(re.findall(r"`([^`]+)`", names))) for term, meaning, names in rows[1:]]


def exists(name: str) -> bool:
    """Return whether a dotted name is a package, a module, or a class of a module. Nothing is imported."""
    path = ROOT / name.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module, _, attribute = name.rpartition(".")
    file = ROOT / (module.replace(".", "/") + ".py")
    return file.is_file() and attribute in classes(file)


def classes(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [each.name for each in tree.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")]


def test_every_line_of_the_table_is_an_entry() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert len(entries()) == len(re.findall(r"^\|", text, re.MULTILINE)) - 2
    assert len(entries()) > 50


def test_every_name_exists() -> None:
    assert [name for entry in entries() for name in entry.names if not exists(name)] == []


def test_a_name_that_does_not_exist_is_detected() -> None:
    assert not exists("peerkd.study.trials.Trail")
    assert not exists("peerkd.study.tirals")


def test_terms_are_sorted_and_each_is_explained_once() -> None:
    terms = [entry.term.casefold() for entry in entries()]
    assert terms == sorted(set(terms))


def test_every_meaning_is_a_sentence() -> None:
    assert [entry.term for entry in entries() if not (entry.meaning[0].isupper() and entry.meaning.endswith("."))] == []


def test_every_public_class_of_the_domain_is_explained() -> None:
    named = {name for entry in entries() for name in entry.names} | EXPLAINED_ELSEWHERE
    public = {
        f"{file.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}.{name}"
        for file in MUST_BE_EXPLAINED
        for name in classes(file)
    }
    assert public - named == set()
