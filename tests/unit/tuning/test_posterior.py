"""The two parts of the model, updated pair by pair, compared with one Gaussian process over all observations."""

from dataclasses import replace

import numpy as np
import pytest

from peerkd.tuning.posterior import PairObservations, PairPrior, Posterior
from peerkd.tuning.prior import Prior, settings_prior
from peerkd.tuning.settings_prior import ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR, covariance
from peerkd.tuning.space import SettingOnSet

SETTINGS = tuple(
    SettingOnSet(transfer_set, temperature, alpha, alpha)
    for transfer_set in ("student", "both")
    for temperature in (1.0, 4.0)
    for alpha in (0.1, 0.5, 0.9)
)
NUM_PAIRS, NUM_FUNCTIONS = 5, 3
NOISE_SD = 0.7


def of_pair(posterior: Posterior, pair: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and covariance of all gains of a pair."""
    (one,) = posterior.of_pairs([pair])
    return one.mean_S, one.covariance(slice(None))


@pytest.fixture
def prior() -> Prior:
    return settings_prior(SETTINGS)


@pytest.fixture
def basis() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(NUM_PAIRS, NUM_FUNCTIONS))
    return values / np.linalg.norm(values, axis=1, keepdims=True) * 0.9


def observed(seed: int, num: int = 4) -> PairObservations:
    rng = np.random.default_rng(seed)
    return PairObservations(
        targets_N=np.sort(rng.choice(len(SETTINGS), num, replace=False)),
        points_N=rng.normal(size=num) * 3,
        extra_sd_N=rng.choice([0.0, 2.0], num),
    )


def plain(
    prior: Prior,
    basis: np.ndarray,
    measured: dict[int, PairObservations],
    *,
    expected: np.ndarray | None = None,
    spread: np.ndarray | None = None,
    more: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (Q * S,) and covariance of all gains by the textbook formulas, without the common scale."""
    unexplained = 1 - (basis**2).sum(1)
    spread = np.ones(NUM_PAIRS) if spread is None else spread
    across = np.kron(basis @ basis.T * np.outer(spread, spread), prior.across_SS)
    shared = np.kron(np.ones((NUM_PAIRS, NUM_PAIRS)), prior.shared_SU @ prior.shared_SU.T)
    own = np.zeros_like(across)
    size = len(SETTINGS)
    for pair in range(NUM_PAIRS):
        block = slice(pair * size, (pair + 1) * size)
        own[block, block] = (prior.own_SS + unexplained[pair] * prior.across_SS) * spread[pair] ** 2
    covariance = across + shared + own + more
    mean = np.tile(prior.mean_S, NUM_PAIRS) if expected is None else expected.ravel()
    places = np.concatenate([pair * size + each.targets_N for pair, each in measured.items()])
    points = np.concatenate([each.points_N for each in measured.values()])
    noise = np.concatenate([NOISE_SD**2 + each.extra_sd_N**2 for each in measured.values()])
    weights = np.linalg.solve(covariance[np.ix_(places, places)] + np.diag(noise), covariance[places]).T
    return mean + weights @ (points - mean[places]), covariance - weights @ covariance[places]


def test_means_and_covariances_equal_those_of_one_gaussian_process(prior: Prior, basis: np.ndarray) -> None:
    measured = {0: observed(1), 2: observed(2), 3: observed(3)}
    posterior = Posterior(prior, basis)
    posterior.update(measured)
    mean, covariance = plain(prior, basis, measured)
    size = len(SETTINGS)
    for pair in range(NUM_PAIRS):
        block = slice(pair * size, (pair + 1) * size)
        mean_S, covariance_SS = of_pair(posterior, pair)
        np.testing.assert_allclose(mean_S, mean[block], atol=1e-8)
        np.testing.assert_allclose(covariance_SS, covariance[block, block] * posterior.scale**2, atol=1e-8)
        np.testing.assert_allclose(posterior.means()[pair], mean_S, atol=1e-10)


def test_expectations_and_spreads_of_pairs_equal_those_of_one_gaussian_process(prior: Prior, basis: np.ndarray) -> None:
    is_on = np.array([[setting.transfer_set == name for name in ("student", "both")] for setting in SETTINGS])
    trusting = replace(prior, trusted_SK=0.4 * is_on)
    expected = np.random.default_rng(7).normal(size=(NUM_PAIRS, len(SETTINGS))) * 4
    spread = np.random.default_rng(8).uniform(0.5, 2, size=NUM_PAIRS)
    measured = {0: observed(1), 2: observed(2), 3: observed(3)}
    posterior = Posterior(trusting, basis, expected, spread)
    posterior.update(measured)
    columns = (expected[:, :, None] * trusting.trusted_SK).reshape(-1, 2)
    mean, covariance = plain(prior, basis, measured, expected=expected, spread=spread, more=columns @ columns.T)
    size = len(SETTINGS)
    for pair in range(NUM_PAIRS):
        block = slice(pair * size, (pair + 1) * size)
        mean_S, covariance_SS = of_pair(posterior, pair)
        np.testing.assert_allclose(mean_S, mean[block], atol=1e-8)
        np.testing.assert_allclose(covariance_SS, covariance[block, block] * posterior.scale**2, atol=1e-8)
        np.testing.assert_allclose(posterior.means()[pair], mean_S, atol=1e-10)
        (one,) = posterior.of_pairs([pair])
        np.testing.assert_allclose(one.variance_S, np.diag(covariance_SS))
        some = np.array([5, 0, 7])
        np.testing.assert_allclose(one.covariance(some), covariance_SS[some])


def test_several_pairs_at_once_give_the_results_of_one_by_one(prior: Prior) -> None:
    num_pairs = 21
    rng = np.random.default_rng(3)
    basis = rng.normal(size=(num_pairs, NUM_FUNCTIONS))
    basis /= np.linalg.norm(basis, axis=1, keepdims=True) / rng.uniform(size=(num_pairs, 1))
    posterior = Posterior(
        replace(prior, trusted_SK=np.full((len(SETTINGS), 1), 0.3)),
        basis,
        rng.normal(size=(num_pairs, len(SETTINGS))),
        rng.uniform(0.5, 2, size=num_pairs),
    )
    posterior.update({pair: observed(pair, num=1 + pair % 5) for pair in range(0, num_pairs, 3)})
    pairs = rng.permutation(num_pairs).tolist()
    for pair, one in zip(pairs, posterior.of_pairs(pairs), strict=True):
        mean_S, covariance_SS = of_pair(posterior, pair)
        np.testing.assert_allclose(one.mean_S, mean_S, atol=1e-10)
        np.testing.assert_allclose(one.variance_S, np.diag(covariance_SS), atol=1e-10)
        np.testing.assert_allclose(one.covariance(slice(None)), covariance_SS, atol=1e-10)
    assert list(posterior.of_pairs([])) == []


def test_new_observations_of_a_pair_replace_earlier_ones(prior: Prior, basis: np.ndarray) -> None:
    at_once, again = Posterior(prior, basis), Posterior(prior, basis)
    at_once.update({1: observed(5, num=6)})
    again.update({1: observed(4)})
    again.update({1: observed(5, num=6)})
    for pair in range(NUM_PAIRS):
        for first, second in zip(of_pair(at_once, pair), of_pair(again, pair), strict=True):
            np.testing.assert_allclose(first, second, atol=1e-7)


def test_many_small_updates_equal_one_large_update(prior: Prior, basis: np.ndarray) -> None:
    at_once, in_steps = Posterior(prior, basis), Posterior(prior, basis)
    last = {pair: observed(pair + 100, num=9) for pair in range(NUM_PAIRS)}
    for step in range(25):
        in_steps.update({step % NUM_PAIRS: observed(step)})
    for pair, each in last.items():
        in_steps.update({pair: each})
    at_once.update(last)
    assert in_steps.scale == pytest.approx(at_once.scale)
    for pair in range(NUM_PAIRS):
        for first, second in zip(of_pair(at_once, pair), of_pair(in_steps, pair), strict=True):
            np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_scale_grows_with_surprising_gains_and_shrinks_otherwise(prior: Prior, basis: np.ndarray) -> None:
    def scale(factor: float) -> float:
        posterior = Posterior(prior, basis)
        each = observed(1, num=len(SETTINGS))
        points = prior.mean_S[each.targets_N] + factor * each.points_N
        posterior.update({0: PairObservations(targets_N=each.targets_N, points_N=points, extra_sd_N=each.extra_sd_N)})
        return posterior.scale

    assert scale(0.0) < 1 < scale(10.0)


def test_earlier_experiments_change_beliefs_but_leave_uncertainty(prior: Prior, basis: np.ndarray) -> None:
    blank, taught, certain = (Posterior(prior, basis) for _ in range(3))
    for seed in range(30):
        pair = PairPrior(basis_A=basis[seed % NUM_PAIRS], expected_S=prior.mean_S)
        good = PairObservations(targets_N=np.array([0]), points_N=prior.mean_S[:1] + 5, extra_sd_N=np.zeros(1))
        taught.learn(pair, good)
        certain.learn(pair, good)
    taught.begin()
    certain.update({})
    before, after, sure = (of_pair(posterior, 0) for posterior in (blank, taught, certain))
    assert after[0][0] > before[0][0] + 2
    assert sure[1][0, 0] < after[1][0, 0] < before[1][0, 0]
    assert taught.scale == pytest.approx(1.0)


def test_similar_rates_are_more_correlated_and_a_single_rate_has_no_effect() -> None:
    setting = SETTINGS[0]
    at_rates = [setting._replace(learning_rate=rate) for rate in (0.01, 0.02, 0.08)]
    near, far = covariance(at_rates, WITHIN_PAIR)[0, 1:]
    assert covariance(at_rates, WITHIN_PAIR)[0, 0] > near > far > 0
    same = [each._replace(learning_rate=0.3) for each in SETTINGS]
    for smoothness in (ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR):
        assert np.array_equal(covariance(same, smoothness), covariance(SETTINGS, smoothness))
