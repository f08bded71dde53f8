from pathlib import Path

import pytest

from peerkd.losses.describe import page
from peerkd.losses.pairs import PAIR_LOSSES
from tests.pair_losses import WEIGHTED_BRIER

PAGE = Path(__file__).parents[3] / "docs" / "losses.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "A loss has changed: run `make docs` and commit the page."


@pytest.mark.parametrize("loss", PAIR_LOSSES.values(), ids=PAIR_LOSSES)
def test_every_loss_has_a_section_with_its_formula_and_source(loss) -> None:
    _, _, section = page().partition(f"## `{loss.name}`: {loss.title}\n")
    section, _, _ = section.partition("\n## ")
    assert f"$$D = {loss.tex}$$" in section
    assert all(text in section for text in (loss.formula, loss.meaning, loss.source))


def test_labels_and_hyper_parameters_are_named() -> None:
    section = page([WEIGHTED_BRIER]).partition("## `weighted_brier`")[2]
    assert "excludes transfer sets without labels" in section
    assert "Hyper-parameters: `trust`;" in section
