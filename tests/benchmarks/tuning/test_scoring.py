import math

import numpy as np
import pytest

from benchmarks.tuning.scoring import GainsOnTest, Preference, Reference, Score, reference
from peerkd.tuning.space import NO_SETTING, SettingOnSet, Space

SETTINGS = tuple(SettingOnSet("student", t, a, a) for t, a in ((2.0, 0.1), (2.0, 0.5), (1.0, 0.5)))


def space(num_pairs: int) -> Space:
    return Space(
        students_Q=np.arange(num_pairs),
        teachers_Q=np.arange(num_pairs)[::-1],
        settings=SETTINGS,
        default_setting=2,
        num_samples_QS=np.ones((num_pairs, 3), dtype=np.int64),
        num_epochs=1,
        feature_names=(),
        features_QF=np.empty((num_pairs, 0)),
    )


def test_choices_are_made_on_validation_and_scored_on_test() -> None:
    validation = np.array([[0.4, 0.1, 0.0], [-0.1, 0.2, -0.1], [-0.1, -0.2, -0.3]])
    test = np.array([[0.01, 1.0, 0.1], [1.0, 0.02, 0.2], [1.0, 1.0, 0.3]])
    known = reference(space(3), validation[:, :, None], GainsOnTest(test[:, :, None]))
    assert known.full == pytest.approx((0.01 + 0.02 + 0) / 3)  # the third pair stays unchanged
    assert known.single == pytest.approx((0.01 + 1.0 + 1.0) / 3)  # its mean on validation is the highest
    assert known.default == pytest.approx((0.1 + 0.2 + 0.3) / 3)


def test_the_single_setting_skips_pairs_on_which_it_breaks_the_limit() -> None:
    validation = np.array([[0.4, 0.1, 0.1], [-0.3, 0.2, -0.1], [-0.4, 0.1, -0.3]])
    is_allowed = np.array([[True, True, True], [False, True, False], [False, False, True]])
    test = np.array([[0.01, 0.02, 0.04], [1.0, 0.08, 1.0], [1.0, 1.0, -0.16]])
    known = reference(
        space(3), validation[:, :, None], GainsOnTest(test[:, :, None]), is_allowed_QSE=is_allowed[:, :, None]
    )
    assert known.single == pytest.approx(0.01 / 3)  # 0.4 on the first pair is more than 0.1 and 0.2 on two
    assert known.default == pytest.approx((0.04 + 0 - 0.16) / 3)


def test_a_tie_goes_to_the_setting_with_the_fewest_changes() -> None:
    preference = Preference(space(1))
    assert preference.best(np.array([0.2, 0.2, 0.2])) == 2
    assert preference.best(np.array([0.2, 0.2, 0.1])) == 1
    assert preference.best(np.array([0.2, 0.2 - 1e-12, np.nan])) == 1
    assert preference.best(np.array([np.nan] * 3)) == NO_SETTING


def test_a_pair_without_a_gain_stays_unchanged() -> None:
    gains = np.array([[0.0, -0.1, np.nan], [np.nan] * 3, [0.1, 0.2, 0.1]])
    assert Preference(space(3)).best_or_none(gains).tolist() == [NO_SETTING, NO_SETTING, 1]


def score(gain: float, *, full: float) -> Score:
    return Score(
        budget=0.1,
        spent_share=0.1,
        spent=1.0,
        gain=gain,
        reference=Reference(full=full, single=0.02, default=0.01),
        num_pairs_tried=1,
        num_pairs_left=0,
        num_trials=1,
        tuner_seconds=0.0,
    )


def test_recovery_is_measured_from_the_single_setting_to_the_full_sweep() -> None:
    assert score(0.02, full=0.06).share_recovered == pytest.approx(0)
    assert score(0.05, full=0.06).share_recovered == pytest.approx(0.75)
    assert score(0.05, full=0.06).regret == pytest.approx(0.01)
    assert score(0.0, full=0.06).share_recovered == pytest.approx(-0.5)
    assert math.isnan(score(0.05, full=0.02).share_recovered)
