"""The pages about tables of results agree with their schemas."""

import pytest

from peerkd.results import describe
from tests.docs.pages import ROOT

FILES = {
    "trials": "results-table.md",
    "curves": "curves-table.md",
    "features": "features-table.md",
    "choices": "choices-table.md",
    "rounds": "rounds-table.md",
}


def test_every_page_is_in_a_file() -> None:
    assert list(FILES) == list(describe.PAGES)


@pytest.mark.parametrize("name", FILES)
def test_the_page_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / FILES[name]).read_text(encoding="utf-8")
    assert written == describe.page(name), f"A schema has changed: run `make docs` and commit docs/{FILES[name]}."


@pytest.mark.parametrize("name", FILES)
def test_every_column_has_a_row_with_its_meaning(name: str) -> None:
    _, schema = describe.PAGES[name]
    rows = describe.page(name).partition("| Column |")[2].splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == schema.names
    for row, field in zip(rows, schema, strict=True):
        assert row.endswith(f" {field.metadata[b'description'].decode()} |")
        assert (" or null |" in row) == field.nullable
