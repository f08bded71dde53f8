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


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if anchor and not re.match(r"https?:", target) and file.suffix == ".md" and anchor not in anchors(file):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as they are made for the repository and for the site."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.strip().lower())) for heading in shown}


def test_the_index_of_decisions_lists_each_one_once_and_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = {path.name: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for path in records}
    listed = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == [(titles[path.name], path.name) for path in records]
    numbers = [path.name[:4] for path in records]
    assert numbers == sorted(set(numbers))
