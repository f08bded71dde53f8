"""Minimum performance of the tuner on two small sweeps: its recovered gain, and the fit of its posterior.

The sweeps are in ``benchmarks/tuning/data``. Neither was used to fit a constant or to learn the shipped experience.
The recovered gain depends little on the constants, because the tuner measures where it is uncertain. The probability
density of unobserved gains under the posterior depends on nearly all constants, in both directions, so it must equal
the recorded number. If you change a constant on purpose, record the new numbers here.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest

from benchmarks.tuning.__main__ import DATA
from benchmarks.tuning.own import from_nothing, with_experience
from benchmarks.tuning.replay import Replay, load_replay, play
from peerkd.tuning import experience, posterior, prior, settings_prior
from peerkd.tuning.accounting import feature_forward_samples
from peerkd.tuning.observation_model import build_observation_model
from peerkd.tuning.posterior import PairObservations, Posterior
from peerkd.tuning.protocol import Tuner
from peerkd.tuning.settings_prior import compress

BUDGETS: Final = (0.02, 0.05)

LEAST_SHARES: Final = {
    ("dirichlet", with_experience): (0.90, 0.95),
    ("dirichlet", from_nothing): (0.95, 0.98),
    ("classes", with_experience): (0.98, 0.99),
    ("classes", from_nothing): (0.98, 0.99),
}
"""Least recovered fractions of the full sweep's gain, for each budget. Random search recovers 0.24 on the first sweep
with the larger budget."""

LOG_SCORES: Final = {
    ("dirichlet", True): -2.28332,
    ("dirichlet", False): -2.46619,
    ("classes", True): -2.27733,
    ("classes", False): -2.52454,
}
"""Mean log densities of unobserved gains by sweep, with and without experience."""

TOLERANCE: Final = 2e-4


@cache
def sweep(name: str) -> Replay:
    return load_replay(DATA / name)


def log_score(name: str, *, has_experience: bool) -> float:
    """Return the mean log density of the gains of whole trials, given a tenth of all trials up to random epochs."""
    space, gains_QSE = sweep(name).space, sweep(name).gains_QSE
    believed = build_observation_model(
        space, earlier_sweeps=(), experience=experience.shipped()[0] if has_experience else None
    )
    known = Posterior(believed.prior, believed.basis.values(space), believed.expected(space), believed.spread(space))
    rng = np.random.default_rng(0)
    is_shown_QS = rng.random(gains_QSE.shape[:2]) < 0.1
    last_QS = rng.integers(space.num_epochs, size=gains_QSE.shape[:2])
    shown = {}
    for pair in np.flatnonzero(is_shown_QS.any(axis=1)).tolist():
        targets_N = np.flatnonzero(is_shown_QS[pair])
        last_N = last_QS[pair, targets_N]
        shown[pair] = PairObservations(
            targets_N=believed.places_SE[targets_N, last_N],
            points_N=compress(gains_QSE[pair, targets_N, last_N]) - believed.offsets_SE[targets_N, last_N],
            extra_sd_N=np.sqrt(believed.variances_SE[targets_N, last_N]),
        )
    known.update(shown)
    points_QS = compress(gains_QSE[:, :, -1])
    densities = []
    for pair, of_pair in enumerate(known.of_pairs(range(space.num_pairs))):
        variance_S = of_pair.variance_S[: len(space.settings)] + known.noise_variance
        misfit_S = points_QS[pair] - of_pair.mean_S[: len(space.settings)]
        density_S = -(np.log(2 * np.pi * variance_S) + misfit_S**2 / variance_S) / 2
        densities.append(density_S[~is_shown_QS[pair]])
    return float(np.concatenate(densities).mean())


def is_recorded() -> bool:
    return all(
        log_score(name, has_experience=has_experience) == pytest.approx(recorded, abs=TOLERANCE)
        for (name, has_experience), recorded in LOG_SCORES.items()
    )


@pytest.mark.parametrize(("name", "build"), LEAST_SHARES)
def test_the_tuner_recovers_nearly_all_of_a_small_sweep(name: str, build: Callable[..., Tuner]) -> None:
    tuner = build(sweep(name).space, seed=0, earlier=())
    num_forward_samples = feature_forward_samples(sweep(name).space)
    scores = play(tuner, sweep(name), BUDGETS, num_forward_samples=num_forward_samples)
    for score, least in zip(scores, LEAST_SHARES[name, build], strict=True):
        assert score.spent_share <= score.budget
        assert score.gain > least * score.reference.full


@pytest.mark.parametrize(("name", "has_experience"), LOG_SCORES)
def test_the_posterior_fits_held_out_gains_as_well_as_before(name: str, has_experience: bool) -> None:
    recorded = LOG_SCORES[name, has_experience]
    assert log_score(name, has_experience=has_experience) == pytest.approx(recorded, abs=TOLERANCE)


@pytest.mark.parametrize("factor", [1 / 3, 3.0])
@pytest.mark.parametrize(
    ("module", "constant"),
    [
        (prior, "_OF_ALL_PAIRS_SD"),
        (prior, "_ACROSS_PAIRS_SD"),
        (prior, "_WITHIN_PAIR_SD"),
        (prior, "_OF_TRIAL_SD"),
        (prior, "_NOISE_SD"),
        (settings_prior, "_COMPRESSION_POINTS"),
        (posterior, "_SCALE_PRIOR_OBSERVATIONS"),
        (experience, "_NOISE_SD"),
        (experience, "_TRUST_SD"),
    ],
)
def test_a_changed_constant_is_detected(
    module: object, constant: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, constant, factor * getattr(module, constant))
    assert not is_recorded()


@pytest.mark.parametrize("smoothness", ["ACROSS_PAIRS", "OF_ALL_PAIRS", "WITHIN_PAIR"])
def test_a_changed_length_scale_of_temperature_is_detected(smoothness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = getattr(prior, smoothness)
    changed = replace(fitted, log2_temperature_length=3 * fitted.log2_temperature_length)
    monkeypatch.setattr(prior, smoothness, changed)
    assert not is_recorded()
