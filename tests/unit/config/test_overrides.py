"""The fields that overrides set, and the strategies that they do not fit."""

import pytest

from peerkd.config.overrides import overridden_fields
from peerkd.config.tuning import check_strategy


def test_a_mapping_sets_every_field_inside_it() -> None:
    pairs = [
        "seed=3",
        "sweep={temperatures: [1, 2], validate_every_epoch: true}",
        "distill.loss={kind: dkd}",
        "peers={}",
    ]
    assert list(overridden_fields(pairs)) == [
        *("seed", "sweep.temperatures", "sweep.validate_every_epoch"),
        *("distill.loss.kind", "peers"),
    ]


@pytest.mark.parametrize("pair", ["sweep.validate_every_epoch=true", "sweep={validate_every_epoch: true}"])
def test_a_field_that_a_tuned_study_ignores_is_refused_in_every_form(pair: str) -> None:
    with pytest.raises(ValueError, match=r"^sweep\.validate_every_epoch must not be set unless strategy is sweep"):
        check_strategy("tune", [pair])
    check_strategy("sweep", [pair])


@pytest.mark.parametrize("pair", ["tune.own_weight=0.5", "tune={own_weight: 0.5}"])
def test_a_field_of_a_tuned_study_is_refused_for_a_sweep_in_every_form(pair: str) -> None:
    with pytest.raises(ValueError, match=r"^tune\.own_weight must not be set unless strategy is tune"):
        check_strategy("sweep", [pair])
    check_strategy("tune", [pair])
