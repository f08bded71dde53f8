"""What a measurement is worth, against the outcomes drawn at random."""

import numpy as np

from peerkd.tuning.information import Belief, after_measuring, knowledge_gradients

MEAN_S = np.array([0.5, 0.2, -1.0])
COVARIANCE_SS = np.array([[0.5, 0.1, 0.0], [0.1, 2.0, 0.6], [0.0, 0.6, 3.0]])
NOISE_C = np.array([0.1, 0.1, 0.1, 4.0])
SETTINGS_C = np.array([0, 1, 2, 2])


def gradients(mean_S: np.ndarray) -> np.ndarray:
    variance_S = np.diag(COVARIANCE_SS)
    return knowledge_gradients(
        mean_S, variance_S, COVARIANCE_SS[:, SETTINGS_C], variance_C=variance_S[SETTINGS_C] + NOISE_C
    )


def by_drawing(mean_S: np.ndarray, setting: int, noise: float) -> float:
    outcomes = np.random.default_rng(0).normal(size=200_000)
    spread = COVARIANCE_SS[:, setting] / np.sqrt(COVARIANCE_SS[setting, setting] + noise)
    best = np.maximum((mean_S[:, None] + spread[:, None] * outcomes).max(0), 0)
    return float(best.mean()) - max(float(mean_S.max()), 0.0)


def test_it_is_what_the_best_is_expected_to_rise_by() -> None:
    found = gradients(MEAN_S)
    drawn = [by_drawing(MEAN_S, *each) for each in zip(SETTINGS_C, NOISE_C, strict=True)]
    np.testing.assert_allclose(found, drawn, atol=0.04)
    assert found[3] < found[2]


def test_nothing_is_worth_measuring_where_no_outcome_changes_the_choice() -> None:
    hopeless = np.array([-50.0, -60.0, -70.0])
    assert not gradients(hopeless).any()


def test_told_and_supposed_beliefs_are_those_of_conditioning() -> None:
    belief = Belief(MEAN_S, COVARIANCE_SS)
    belief.suppose(1, noise_variance=0.3)
    np.testing.assert_allclose(belief.covariance_SS, COVARIANCE_SS)
    belief.tell(1, 2.0, noise_variance=0.3)
    weight_S = COVARIANCE_SS[:, 1] / 2.3
    np.testing.assert_allclose(belief.mean_S, MEAN_S + weight_S * 1.8)
    np.testing.assert_allclose(belief.covariance_SS, COVARIANCE_SS - np.outer(weight_S, COVARIANCE_SS[1]))
    np.testing.assert_allclose(belief.supposed_SS, after_measuring(COVARIANCE_SS, setting=1, noise_variance=0.3))
