"""Dirichlet draws that are numerically stable for any concentration."""

import numpy as np

from peerkd.arrays import FloatArray


def draw_log_dirichlet(concentrations: FloatArray, *, num_draws: int, rng: np.random.Generator) -> FloatArray:
    """Return the logarithms of ``num_draws`` independent draws from ``Dir(concentrations)``.

    A Dirichlet draw is a vector of gamma variables divided by their sum. If the concentrations are small, all these
    variables can underflow to 0, and the quotient is NaN. The logarithms of the gamma variables are therefore drawn
    instead: ``Gamma(a) = Gamma(a + 1) * U^(1/a)`` with ``U`` uniform (Marsaglia and Tsang 2000), where ``-log U`` is
    exponential.

    Args:
        concentrations: (num_entries,) each above 0.
        num_draws: Number of rows to return.
        rng: Generator of the draws.

    Returns:
        (num_draws, num_entries); the exponential of each row sums to 1.
    """
    shape = (num_draws, len(concentrations))
    log_gammas: FloatArray = np.log(rng.standard_gamma(concentrations + 1, size=shape))
    log_gammas -= rng.standard_exponential(size=shape) / concentrations
    log_gammas -= log_gammas.max(axis=1, keepdims=True)
    log_gammas -= np.log(np.exp(log_gammas).sum(axis=1, keepdims=True))
    return log_gammas
