"""The value of an observation, compared with a simulation of random outcomes."""

import numpy as np

from peerkd.tuning.acquisition import PairBelief, knowledge_gradients
from peerkd.tuning.pair_posterior import PairPosterior

MEAN_S = np.array([0.5, 0.2, -1.0, 9.0])
COVARIANCE_SS = np.array([[0.5, 0.1, 0.0, 0.2], [0.1, 2.0, 0.6, 0.9], [0.0, 0.6, 3.0, 0.4], [0.2, 0.9, 0.4, 1.5]])
"""The last target can be observed, but not chosen."""

NUM_CHOICES = 3
NOISE_C = np.array([0.1, 0.1, 0.1, 4.0, 0.1])
PLACES_C = np.array([0, 1, 2, 2, 3])


def believed(mean_S: np.ndarray) -> PairPosterior:
    """A posterior whose covariance contains products of rows of ``left`` and rows of ``right``."""
    left_KS = np.array([[1.0, 0.0, 2.0, 0.5], [0.3, 0.1, 0.0, 0.2]])
    right_KS = np.array([[0.1, 0.2, 0.0, 0.0], [0.0, 1.0, 1.0, 0.5]])
    return PairPosterior(
        mean_S=mean_S,
        variance_S=np.diag(COVARIANCE_SS),
        own_SS=(COVARIANCE_SS - left_KS.T @ right_KS) / 2,
        own_factor=2.0,
        left_KS=left_KS,
        right_KS=right_KS,
    )


def gradients(mean_S: np.ndarray) -> np.ndarray:
    return of_pairs([believed(mean_S)])[0]


def of_pairs(posteriors: list[PairPosterior]) -> np.ndarray:
    return knowledge_gradients(posteriors, PLACES_C, noise_variance_C=NOISE_C, num_choices=NUM_CHOICES)


def by_drawing(mean_S: np.ndarray, setting: int, noise: float) -> float:
    outcomes = np.random.default_rng(0).normal(size=200_000)
    spread = COVARIANCE_SS[:, setting] / np.sqrt(COVARIANCE_SS[setting, setting] + noise)
    best = np.maximum((mean_S[:, None] + spread[:, None] * outcomes)[:NUM_CHOICES].max(0), 0)
    return float(best.mean()) - max(float(mean_S[:NUM_CHOICES].max()), 0.0)


def test_the_acquisition_value_is_the_expected_rise_of_the_best_mean() -> None:
    found = gradients(MEAN_S)
    drawn = [by_drawing(MEAN_S, *each) for each in zip(PLACES_C, NOISE_C, strict=True)]
    np.testing.assert_allclose(found, drawn, atol=0.04)
    assert found[3] < found[2]


def test_an_observation_that_cannot_change_the_choice_has_no_value() -> None:
    hopeless = np.array([-50.0, -60.0, -70.0, 9.0])
    assert not gradients(hopeless).any()


def test_several_pairs_at_once_give_the_results_of_one_by_one() -> None:
    hopeless, spread = np.array([-50.0, -60.0, -70.0, 9.0]), believed(MEAN_S).given(1, 3.0, noise_variance=0.2)
    posteriors = [believed(MEAN_S), believed(hopeless), spread, believed(MEAN_S[[1, 0, 2, 3]])]
    one_by_one = np.concatenate([of_pairs([each]) for each in posteriors])
    assert len({row.tobytes() for row in one_by_one}) == len(posteriors)
    np.testing.assert_allclose(of_pairs(posteriors), one_by_one, atol=1e-6)


def test_consecutive_indices_become_a_slice() -> None:
    def of_all(places_C: np.ndarray | slice) -> np.ndarray:
        return knowledge_gradients([believed(MEAN_S)], places_C, noise_variance_C=NOISE_C[:4], num_choices=NUM_CHOICES)

    np.testing.assert_array_equal(of_all(slice(4)), of_all(np.arange(4)))


def test_beliefs_equal_those_of_exact_conditioning() -> None:
    measured, noise_variances, points = np.array([1, 3]), np.array([0.3, 0.6]), np.array([2.0, 7.0])
    total = COVARIANCE_SS[np.ix_(measured, measured)] + np.diag(noise_variances)
    weights = np.linalg.solve(total, COVARIANCE_SS[measured]).T
    covariance_SS = COVARIANCE_SS - weights @ COVARIANCE_SS[measured]

    def check(found: PairPosterior, mean_S: np.ndarray, covariance_SS: np.ndarray) -> None:
        np.testing.assert_allclose(found.mean_S, mean_S)
        np.testing.assert_allclose(found.variance_S, np.diag(covariance_SS))
        for places in (np.array([2, 0]), slice(None), 3):
            np.testing.assert_allclose(found.covariance(places), covariance_SS[places], atol=1e-12)

    belief = PairBelief(believed(MEAN_S))
    for place, noise_variance in zip(measured.tolist(), noise_variances, strict=True):
        belief.add_pending(place, noise_variance=noise_variance)
    for _ in range(2):
        check(belief.now, MEAN_S, COVARIANCE_SS)
        check(belief.with_pending, MEAN_S, covariance_SS)
    belief.add_pending(0, noise_variance=0.1)
    for place, noise_variance, point in zip(measured.tolist(), noise_variances, points, strict=True):
        belief.observe(place, point, noise_variance=noise_variance)
    for found in (belief.now, belief.with_pending):
        check(found, MEAN_S + weights @ (points - MEAN_S[measured]), covariance_SS)
