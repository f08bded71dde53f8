from pathlib import Path

from peerkd.metrics.describe import page
from peerkd.metrics.names import METRICS

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "The table has changed: run `make docs` and commit the page."


def test_every_metric_has_a_row_with_its_meaning() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [metric.name for metric in METRICS]
    for row, metric in zip(rows, METRICS, strict=True):
        assert row.endswith(f" {metric.help} |")
        assert f"| {metric.kind} | {metric.unit} |" in row
