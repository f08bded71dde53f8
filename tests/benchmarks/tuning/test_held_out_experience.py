"""No sweep is judged with what was learned from it or from its seed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.tuning import held_out_experience
from benchmarks.tuning.held_out_experience import learned_without
from benchmarks.tuning.learn_experience import learn
from tests.benchmarks.tuning.test_common_grid import LABELLED, sweep

PATHS = [Path(f"/{name}/trials.parquet") for name in "abcd"]
SEEDS = (1, 2, 3, 1)


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    replays = {path: sweep(seed, LABELLED) for path, seed in zip(PATHS, SEEDS, strict=True)}
    monkeypatch.setattr(held_out_experience, "load_replay", replays.__getitem__)


def test_each_sweep_is_judged_with_what_the_other_seeds_show() -> None:
    judged = [sweep(seed, LABELLED) for seed in SEEDS]
    found = learned_without(PATHS, PATHS, judged)
    of_first = learn([judged[1], judged[2]])
    np.testing.assert_array_equal(found[0].regression_AG, of_first.regression_AG)
    assert found[3] is found[0]
    of_second = learn([judged[0], judged[2], judged[3]])
    np.testing.assert_array_equal(found[1].regression_AG, of_second.regression_AG)


def test_without_tables_nothing_is_learned() -> None:
    assert learned_without([], PATHS[:2], [sweep(1, LABELLED), sweep(2, LABELLED)]) == [None, None]


def test_too_few_other_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must leave two sweeps besides /a/trials\.parquet whose seeds differ"):
        learned_without(PATHS[:2], PATHS[:1], [sweep(1, LABELLED)])
