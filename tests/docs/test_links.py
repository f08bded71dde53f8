"""Every link between documents leads to a file that exists, and the index lists every decision record."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, name_of, pages, prose


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_relative_links_lead_to_files_that_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    broken = [
        target
        for target in targets
        if not re.match(r"https?://|mailto:|#", target) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not broken


def test_the_index_of_decisions_lists_each_one_once_and_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = {path.name: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for path in records}
    listed = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == [(titles[path.name], path.name) for path in records]
    numbers = [path.name[:4] for path in records]
    assert numbers == sorted(set(numbers))
