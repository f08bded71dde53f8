"""The page on the table of trials says what the schema says."""

from peerkd.results import describe
from peerkd.results.schema import TRIALS_SCHEMA
from tests.docs.pages import ROOT


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "results-table.md").read_text(encoding="utf-8")
    assert written == describe.page(), "TRIALS_SCHEMA has changed: run `make docs` and commit docs/results-table.md."


def test_every_column_has_a_row_with_its_meaning() -> None:
    rows = [line for line in describe.page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == TRIALS_SCHEMA.names
    for row, field in zip(rows, TRIALS_SCHEMA, strict=True):
        assert row.endswith(f" {field.metadata[b'description'].decode()} |")
        assert (" or null |" in row) == field.nullable
