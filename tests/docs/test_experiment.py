"""The pages about configs agree with the schemas."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from peerkd.config import describe
from peerkd.config.pipelines import COLLABORATE, JOINTKD, PCL, Pipeline
from peerkd.config.strict import StrictConfig
from tests.docs.pages import ROOT

PAGES = {"experiment.md": JOINTKD, "pcl-experiment.md": PCL, "collaborate-experiment.md": COLLABORATE}

each_page = pytest.mark.parametrize(("name", "pipeline"), PAGES.items(), ids=PAGES)


@each_page
def test_the_page_is_up_to_date(name: str, pipeline: Pipeline[StrictConfig]) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == describe.page(pipeline), f"The config has changed: run `make docs` and commit docs/{name}."


@each_page
def test_every_field_has_a_row_and_every_section_a_heading(name: str, pipeline: Pipeline[StrictConfig]) -> None:
    lines = describe.page(pipeline).splitlines()
    for field, is_section in _fields(pipeline.config().model_dump(mode="json")):
        start = f"## `{field}`" if is_section else f"| `{field}` |"
        assert len([line for line in lines if line.startswith(start)]) == 1, f"{name}: {start}"


def test_a_bar_in_a_meaning_does_not_end_its_cell() -> None:
    lines = [line.replace("\\|", "") for line in describe.page(JOINTKD).splitlines()]
    rows = [(line, below) for line, below in pairwise(lines) if line.startswith("|") and below.startswith("|")]
    assert [(line, below) for line, below in rows if line.count("|") != below.count("|")] == []
    assert any("KL(p  q)" in below for _, below in rows)


def test_a_nested_section_first_describes_its_purpose_in_the_outer_one() -> None:
    _, _, section = describe.page(JOINTKD).partition("## `pretrain.collaboration`\n\n")
    assert section.startswith("The options of `method: pcl`.\n\nThe branches of a network, and how they teach")


def test_a_field_that_may_be_null_and_a_list_of_names_read_well() -> None:
    rows = dict(line[2:-2].split(" | ", 1) for line in describe.page(PCL).splitlines() if line.startswith("| `"))
    assert rows["`collaboration.branch_point`"].startswith("`null` | `null` or string | The first block")
    assert rows["`methods`"].startswith('`["plain", "multi_view", "ema", "dml", "one", "pcl"]` | list of: `plain`, ')
    assert rows["`evaluation.baseline`"].startswith("`null` | `null` or `plain`, `multi_view`, ")
    assert "`pcl_no_mean` | The method with which all others" in rows["`evaluation.baseline`"]


def test_the_default_of_a_nested_field_is_that_of_the_outer_section() -> None:
    rows = dict(
        line[2:-2].split(" | ", 1) for line in describe.page(COLLABORATE).splitlines() if line.startswith("| `")
    )
    assert rows["`rounds.target.kind`"].startswith('`"class_counts"` | ')
    assert rows["`rounds.target.prior_adjusted`"].startswith("`true` | ")


def _fields(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the dotted name of every field, and whether it is a section."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield path + name, True
            yield from _fields(value, f"{path}{name}.")
        elif name != "kind":
            yield path + name, False
