"""The page on the config says what the schema says."""

from collections.abc import Iterator
from typing import Any

from peerkd.config import describe
from peerkd.config.experiment import ExperimentConfig
from tests.docs.pages import ROOT


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "experiment.md").read_text(encoding="utf-8")
    assert written == describe.page(), "The config has changed: run `make docs` and commit docs/experiment.md."


def test_every_field_has_a_row() -> None:
    page = describe.page()
    missing = [name for name in _fields(ExperimentConfig().model_dump(mode="json")) if f"`{name}`" not in page]
    assert not missing


def test_a_bar_in_a_meaning_does_not_end_its_cell() -> None:
    rows = [line for line in describe.page().splitlines() if line.startswith("| `distill.")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


def _fields(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield path + name
            yield from _fields(value, f"{path}{name}.")
        elif name != "kind":
            yield path + name
