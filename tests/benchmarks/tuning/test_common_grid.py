"""The grid of an experience has the settings of several sweeps, whose grids may differ."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tuning.common_grid import common_grid, places_on_grid
from benchmarks.tuning.learn_experience import learn
from benchmarks.tuning.replay import Replay
from benchmarks.tuning.scoring import GainsOnTest
from peerkd.tuning.experience_grid import Combination
from peerkd.tuning.space import SettingOnSet
from tests.unit.tuning.test_experience import rungs
from tests.unit.tuning.test_pair_tuner import EPOCHS, network

LABELLED = [
    SettingOnSet("student", t, a, a, None, "kl", target)
    for t in (1.0, 2.0)
    for a in (0.1, 0.5)
    for target in ("masks", "teacher")
]
UNLABELLED = [
    SettingOnSet("public_unlabelled", t, 1.0, 1.0, None, loss, "teacher")
    for t, loss in ((1.0, "kl"), (2.0, "kl"), (2.0, "ttm"))
]


def sweep(seed: int, settings: list[SettingOnSet]) -> Replay:
    space, _ = network(seed=seed)
    space = replace(
        space,
        settings=tuple(settings),
        num_samples_QS=np.full((space.num_pairs, len(settings)), 100),
        default_setting=0,
    )
    quality = np.array([0.1 * (each.target == "masks") - 0.05 * (each.loss == "ttm") for each in settings])
    gains = quality + np.random.default_rng(seed).normal(scale=0.01, size=(space.num_pairs, len(settings)))
    gains_QSE = gains[:, :, None] * np.arange(1, EPOCHS + 1) / EPOCHS
    return Replay(name=str(seed), space=space, gains_QSE=gains_QSE, test_gains=GainsOnTest(gains_QSE), seed=seed)


def test_a_grid_has_the_points_that_two_sweeps_have() -> None:
    replays = [sweep(1, LABELLED), sweep(2, [*LABELLED, *UNLABELLED]), sweep(3, UNLABELLED), sweep(4, LABELLED[:4])]
    grid = common_grid(replays)
    assert grid.combinations == (
        Combination("student", "kl", "masks"),
        Combination("student", "kl", "teacher"),
        Combination("public_unlabelled", "kl", "teacher"),
        Combination("public_unlabelled", "ttm", "teacher"),
    )
    assert grid.weights.tolist() == [0.1, 0.5, 1.0]
    assert grid.has_weight_NW.tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
        [False, False, True],
    ]
    # At T = 1, ttm is the same computation as kl.
    assert grid.has_temperature_NT.all()
    assert not list(grid.differences(sweep(5, [*LABELLED, *UNLABELLED]).space))


def test_a_default_beside_the_crossed_values_is_no_point() -> None:
    off = SettingOnSet("student", 1.0, 0.3, 0.3, None, "kl", "teacher")
    grid = common_grid([sweep(seed, [*LABELLED, off]) for seed in (1, 2)])
    assert grid.has_weight_NW.tolist() == [[True, False, True], [True, False, True]]


def test_experience_is_learned_from_sweeps_of_different_grids() -> None:
    known = learn([sweep(1, LABELLED), sweep(2, [*LABELLED, *UNLABELLED]), sweep(3, UNLABELLED)])
    judged = sweep(4, [*LABELLED, *UNLABELLED])
    assert known.covers(judged.space)
    expected_QC = known.expected(judged.space, rungs(judged.space))
    means = judged.gains_QSE[:, :, -1].mean(axis=0)
    assert np.corrcoef(expected_QC[:, : len(means)].mean(axis=0), means)[0, 1] > 0.9
    prior = known.prior(judged.space, rungs(judged.space))
    assert np.linalg.eigvalsh(prior.own_SS).min() > -1e-9


def test_sweeps_without_a_common_setting_are_refused() -> None:
    with pytest.raises(ValueError, match="At least two tables must have a setting in common, got 2 without any"):
        common_grid([sweep(1, LABELLED), sweep(2, UNLABELLED)])


def test_the_same_computation_has_one_place() -> None:
    places = places_on_grid(sweep(1, UNLABELLED).space)
    assert places["public_unlabelled", "kl", "teacher", 1.0, 1.0] == 0
    assert len(places) == 3
