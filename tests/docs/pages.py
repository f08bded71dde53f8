"""The Markdown files of the repository, and what tests look for in them."""

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
    """Every Markdown file, except in folders that hold no source."""
    skipped = {"runs", "dist", "node_modules"}
    found = []
    for path in sorted(ROOT.rglob("*.md")):
        folders = path.relative_to(ROOT).parts[:-1]
        if not any(folder.startswith(".") or folder in skipped for folder in folders):
            found.append(path)
    return found


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks() -> Iterator[Block]:
    for page in pages():
        for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
            yield Block(name_of(page), fence["language"], fence["body"])


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
