"""The conditions for the use of experience, and the targets of observations."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tuning.learn_experience import learn
from peerkd.tuning.experience import Experience
from peerkd.tuning.observation_model import build_observation_model
from peerkd.tuning.pair_tuner import PairTuner
from peerkd.tuning.protocol import EarlierSweep
from tests.unit.tuning.test_experience import simulated
from tests.unit.tuning.test_pair_tuner import SETTINGS, best, mean_gain, network


@pytest.fixture(scope="module")
def experience() -> Experience:
    return learn([simulated(seed) for seed in (2, 3)])


def test_with_experience_each_rung_is_a_target(experience: Experience) -> None:
    space, _ = network(seed=1)
    found = build_observation_model(replace(space, num_epochs=6), earlier_sweeps=(), experience=experience)
    assert found.rungs_R.tolist() == [6, 4, 2]
    # The rungs are in reverse order, so whole trials have the first indices.
    assert (found.places_SE[5] // len(SETTINGS)).tolist() == [2, 2, 1, 1, 0, 0]
    assert found.places_SE[:, -1].tolist() == list(range(len(SETTINGS)))
    assert len(found.prior.mean_S) == 3 * len(SETTINGS)
    assert not found.variances_SE.any()


def test_without_experience_a_partial_trial_is_a_noisy_observation_of_the_whole() -> None:
    space, _ = network(seed=1)
    found = build_observation_model(space, earlier_sweeps=(), experience=None)
    assert (found.places_SE == np.arange(len(SETTINGS))[:, None]).all()
    assert found.expected(space) is None
    assert (np.diff(found.variances_SE, axis=1) < 0).all()


def test_a_space_that_experience_does_not_cover_starts_without_it(experience: Experience) -> None:
    space, gains = network(seed=1)
    strange = replace(space, feature_names=("agreement",))
    for each in (strange, replace(space, feature_names=(), features_QF=np.empty((space.num_pairs, 0)))):
        assert build_observation_model(each, earlier_sweeps=(), experience=experience).experience is None
        assert PairTuner(each, experience=experience).ask(9) == PairTuner(each).ask(9)
    earlier = EarlierSweep(space=strange, gains_QS=gains[:, :, -1])
    assert build_observation_model(space, earlier_sweeps=[earlier], experience=experience).experience is None


def test_tables_of_earlier_sweeps_add_to_experience(experience: Experience) -> None:
    space, gains = network(seed=1)
    theirs, known = network(seed=5)
    shifted = [each - 0.03 for each in (gains, known)]
    alone = PairTuner(space, experience=experience)
    both = PairTuner(
        space, experience=experience, earlier_sweeps=[EarlierSweep(space=theirs, gains_QS=shifted[1][:, :, -1])]
    )
    assert mean_gain(both, shifted[0]) > mean_gain(alone, shifted[0])
    assert mean_gain(both, shifted[0]) > 0.6 * best(shifted[0])
