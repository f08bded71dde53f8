import numpy as np
import pytest

from peerkd.data.partition.draw import draw_log_dirichlet


@pytest.mark.parametrize("concentration", [1e-6, 1e-3, 1.0, 1e6, 1e9])
def test_draws_are_finite_and_sum_to_one_at_any_concentration(concentration: float) -> None:
    log_draws = draw_log_dirichlet(np.full(10, concentration), num_draws=200, rng=np.random.default_rng(0))
    assert np.isfinite(log_draws).all()
    np.testing.assert_allclose(np.exp(log_draws).sum(axis=1), 1)


@pytest.mark.parametrize("scale", [0.02, 1.0, 30.0])
def test_draws_have_the_mean_and_variance_of_the_dirichlet_distribution(scale: float) -> None:
    concentrations = scale * np.array([1.0, 2.0, 5.0])
    draws = np.exp(draw_log_dirichlet(concentrations, num_draws=100_000, rng=np.random.default_rng(0)))
    mean = concentrations / concentrations.sum()
    variance = mean * (1 - mean) / (concentrations.sum() + 1)
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.03)
