import pytest

from peerkd.study.defaults import default_weight
from peerkd.study.transfer_sets import TRANSFER_SETS


@pytest.mark.parametrize("name", TRANSFER_SETS)
def test_the_default_weighs_both_terms_equally_if_the_loss_has_both(name: str) -> None:
    assert default_weight(name) == (0.5 if TRANSFER_SETS[name].uses_labels else 1.0)
