"""The Markdown files of the repository, and the parts that tests check."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<body>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: str
    language: str
    body: str


def pages() -> list[Path]:
    """Return every Markdown file, except those in hidden folders and in folders of results."""
    found = list(ROOT.glob("*.md"))
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in ("runs", "dist"):
            found += folder.rglob("*.md")
    return sorted(found)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks() -> Iterator[Block]:
    for page in pages():
        for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
            yield Block(name_of(page), fence["language"], fence["body"])


def prose(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
