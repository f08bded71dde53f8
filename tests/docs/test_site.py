"""The site contains every page once, and its formulas can be drawn. ``make docs-site`` checks everything else."""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT, name_of, pages, prose

DOCS = ROOT / "docs"
NOT_LISTED = ("decisions/0", "results/")
"""The beginnings of the names of pages that an index lists instead of the navigation."""


def navigation(entries: Any) -> Iterator[str]:
    """Yield the name of each page in the navigation of the site."""
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(value, str):
                yield value
            else:
                yield from navigation(value)


@pytest.fixture(scope="module")
def hooks() -> Any:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def formulas(page: Path) -> list[str]:
    text = re.sub(r"`[^`]*`", "", prose(page))
    blocks = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    return blocks + re.findall(r"\$([^$\n]+)\$", re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL))


def test_the_navigation_has_every_page_once(hooks: Any) -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = Counter(navigation(settings["nav"]))
    there = {path.relative_to(DOCS).as_posix() for path in pages() if path.is_relative_to(DOCS)}
    expected = {name for name in there if not name.startswith(NOT_LISTED)} | {"results/README.md"}
    assert set(listed) == expected | set(hooks.PAGES_OUTSIDE.values())
    assert [name for name, times in listed.items() if times > 1] == []
    assert [name for name in hooks.PAGES_OUTSIDE if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", [page for page in pages() if "$" in prose(page)], ids=name_of)
def test_every_formula_becomes_mathml(hooks: Any, page: Path) -> None:
    for formula in formulas(page):
        drawn = hooks.to_mathml(formula, is_block=True)
        assert drawn.startswith("<math")
        # The converter keeps commands that it does not know as text.
        assert "\\" not in drawn, formula


def test_each_concept_has_a_formula_and_a_figure() -> None:
    for page in sorted((DOCS / "concepts").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert formulas(page), page.name
        figures = re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", text)
        assert figures, page.name
        assert all((page.parent / figure).is_file() for figure in figures)
