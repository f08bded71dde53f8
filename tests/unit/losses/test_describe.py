from pathlib import Path

import pytest

from peerkd.losses.describe import page, targets_page
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.targets import PAIR_TARGETS
from tests.pair_losses import WEIGHTED_BRIER

DOCS = Path(__file__).parents[3] / "docs"


def test_the_pages_are_up_to_date() -> None:
    for name, expected in (("losses.md", page()), ("targets.md", targets_page())):
        text = (DOCS / name).read_text(encoding="utf-8")
        assert text == expected, f"{name} has changed: run `make docs` and commit it."


@pytest.mark.parametrize("loss", PAIR_LOSSES.values(), ids=PAIR_LOSSES)
def test_every_loss_has_a_section_with_its_formula_and_source(loss) -> None:
    _, _, section = page().partition(f"## `{loss.name}`: {loss.title}\n")
    section, _, _ = section.partition("\n## ")
    assert f"$$D = {loss.tex}$$" in section
    assert all(text in section for text in (loss.formula, loss.meaning, loss.source))
    assert ("excludes transfer sets without labels" in section) == loss.excludes_unlabelled
    assert ("This loss sets its temperature itself" in section) == loss.sets_temperature
    if loss.temperature_rule:
        assert f"$${loss.temperature_rule.tex}$$" in section
        assert loss.temperature_rule.formula in section


@pytest.mark.parametrize("target", PAIR_TARGETS.values(), ids=PAIR_TARGETS)
def test_every_target_has_a_section_with_its_formula_and_source(target) -> None:
    _, _, section = targets_page().partition(f"## `{target.name}`: {target.title}\n")
    section, _, _ = section.partition("\n## ")
    assert f"$$p = {target.tex}$$" in section
    assert all(text in section for text in (target.formula, target.meaning, target.source))


def test_labels_and_hyper_parameters_are_named() -> None:
    section = page([WEIGHTED_BRIER]).partition("## `weighted_brier`")[2]
    assert "excludes transfer sets without labels" in section
    assert "Hyper-parameters: `trust`;" in section
