"""An experience is learned from full sweeps: a regression and its residuals, without any test accuracy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.tuning.learn_experience import fingerprint, learn, main
from benchmarks.tuning.replay import Replay
from peerkd.arrays import BoolArray
from peerkd.tuning.experience import load
from peerkd.tuning.settings_prior import compress
from peerkd.tuning.space import Space
from tests.unit.tuning.test_experience import rungs, simulated, with_settings
from tests.unit.tuning.test_pair_tuner import SETTINGS, network


def test_the_regression_is_a_ridge_regression_of_compressed_gains() -> None:
    sweeps = [simulated(seed) for seed in (2, 3, 4)]
    experience = learn(sweeps)
    values = np.concatenate([experience.basis.values(each.space) for each in sweeps])
    points = np.concatenate([compress(each.gains_QSE[:, SETTINGS.index(SETTINGS[0]), 0]) for each in sweeps])
    ridge = values.T @ values + 2.0 * np.eye(values.shape[1])
    wanted = np.linalg.solve(ridge, values.T @ (points - points.mean()))
    assert SETTINGS[0][:5] == ("student", 1.0, 0.1, 0.1, None)
    np.testing.assert_allclose(experience.regression_AG[:, 0], wanted, atol=1e-9)
    assert experience.mean_G[0] == pytest.approx(points.mean())


def test_numbers_of_samples_and_constant_features_are_ignored() -> None:
    def with_more(plain: Replay) -> Replay:
        space = plain.space
        more_QF = np.column_stack([space.features_QF, np.arange(space.num_pairs), np.ones(space.num_pairs)])
        names = (*space.feature_names, "num_student_samples", "agreement")
        return replace(plain, space=replace(space, feature_names=names, features_QF=more_QF))

    known = learn([with_more(simulated(seed)) for seed in (2, 3, 4)])
    assert known.feature_names == ("only_teacher_right",)


def test_pairs_that_are_hard_to_predict_have_a_large_spread() -> None:
    def restless(seed: int) -> Replay:
        plain, luck = simulated(seed), np.random.default_rng(100 + seed)
        size_Q = np.where(is_restless(plain.space), 0.05, 0.005)
        return replace(
            plain, gains_QSE=plain.gains_QSE + luck.normal(size=plain.gains_QSE.shape) * size_Q[:, None, None]
        )

    def is_restless(space: Space) -> BoolArray:
        return space.features_QF[:, 0] > 0.5

    known = learn([restless(seed) for seed in (2, 3, 4, 5)])
    space, _ = network(num_peers=10, seed=1)
    spread_Q = known.spread(space)
    assert spread_Q[is_restless(space)].mean() > 2 * spread_Q[~is_restless(space)].mean()
    # The prior's deviation is that of a pair with spread 1. Scaled by the spread, it matches the simulated deviations.
    sd_C = np.sqrt(np.diagonal(known.prior(space, rungs(space)).own_SS))
    left_Q = spread_Q * sd_C[0]
    assert 3 < left_Q[is_restless(space)].mean() < 7
    assert left_Q[~is_restless(space)].mean() < 2


def test_fewer_than_two_sweeps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least twice, to learn what differs, got 1"):
        learn([simulated(1)])


def test_a_point_that_one_sweep_lacks_is_learned_from_the_others() -> None:
    fewer, others = simulated(2), [simulated(seed) for seed in (3, 4)]
    fewer = replace(fewer, space=with_settings(fewer.space, *SETTINGS[:-1]), gains_QSE=fewer.gains_QSE[:, :-1])
    known = learn([fewer, *others])
    points = np.concatenate([compress(each.gains_QSE[:, -1, -1]) for each in others])
    assert SETTINGS[-1][:4] == ("both", 4.0, 0.9, 0.9)
    assert known.mean_G[-1] == pytest.approx(points.mean())
    assert known.covers(others[0].space)


def test_the_command_learns_from_tables(sweep: pa.Table, written: Callable[..., Path], tmp_path: Path) -> None:
    gains = np.array(sweep["test_global_gain"].to_pylist())
    tables = [written(sweep, name="one"), written(sweep, name="two", test_global_gain=(-gains).tolist())]
    output = tmp_path / "learned.npz"
    main([*map(str, tables), "--note", "the first", "--note", "the second", "--output", str(output)])
    first, second = load(output).provenance.splitlines()
    assert first.startswith("12 pairs, global_accuracy, ")
    assert first.endswith(" the first")
    # Test accuracies are not learned from.
    assert first.split()[:4] == second.split()[:4]


def test_a_fingerprint_depends_on_gains_and_features() -> None:
    one, other = simulated(1), simulated(2)
    assert fingerprint(one) == fingerprint(simulated(1)) != fingerprint(other)
    assert fingerprint(replace(one, gains_QSE=other.gains_QSE)) not in (fingerprint(one), fingerprint(other))
