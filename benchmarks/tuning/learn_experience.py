"""Learn the experience of the tuner from full sweeps.

A TABLE is the ``trials.parquet`` of a sweep that was run with ``sweep.validate_every_epoch=true``, with
``features.parquet`` in the same folder.

Shape suffixes: Q = pairs, A = functions of pairs, G = combinations x weights x temperatures x epochs (the axes N, W, T
and E of ``ExperienceGrid``), N = also sweeps, T = also trials, K = trials of the grid, L = factors.
"""

import argparse
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.tuning.common_grid import common_grid, computed, places_on_grid
from benchmarks.tuning.replay import Replay, load_replay
from peerkd.arrays import FloatArray
from peerkd.tuning.experience import Experience, save, spread
from peerkd.tuning.experience_grid import ExperienceGrid, interpolation
from peerkd.tuning.pair_basis import PairBasis
from peerkd.tuning.settings_prior import compress
from peerkd.tuning.space import Space

_NUM_FUNCTIONS: Final = 40
_LEAST_SD: Final = 0.5
"""Standard deviation, in points, whose square is added to the variance of the residuals at each point of the grid
before correlations are computed. Points with almost no variance would otherwise have as much weight as all others."""

_RIDGE: Final = 2.0
"""Penalty of the ridge regression: the number of pairs that its prior is worth."""

_LENGTH_DEVIATIONS: Final = 0.8
"""Length scale of a feature in standard deviations of the feature, if there were no other feature. The value is
multiplied by the root of the number of features, because distances between pairs grow by this factor."""

_LEAST_DEVIATION: Final = 1e-6
"""A feature with a smaller standard deviation is ignored as constant."""

_MAX_CENTRES: Final = 128


def learn(replays: Sequence[Replay], *, provenance: str = "") -> Experience:
    """Fit an experience to the validation gains of full sweeps.

    The residuals of each sweep are computed with a regression that is fitted to all other sweeps. A point of the grid
    is learned from the sweeps that contain this point. If no sweep contains both of two points, their residuals are
    taken as independent.

    Args:
        replays: At least two sweeps. Their grids of settings may differ.
        provenance: Description of the sweeps, one per line.

    Raises:
        ValueError: If there are too few sweeps, a sweep has several learning rates, or the settings of at least two
            sweeps do not form a grid.
    """
    if len(replays) < 2:
        raise ValueError(f"table must be given at least twice, to learn what differs, got {len(replays)}.")
    grid = common_grid(replays)
    gains = [_gains(replay, grid) for replay in replays]
    spaces = [replay.space for replay in replays]
    basis = PairBasis(spaces, lengths=_lengths(spaces), max_centres=_MAX_CENTRES).rounded()
    values = [basis.values(space) for space in spaces]
    mean_G, regression_AG = _regress(values, gains)
    missed = []
    for place in range(len(replays)):
        others_mean_G, others_AG = _regress(_without(values, place), _without(gains, place))
        missed.append(gains[place] - others_mean_G - values[place] @ others_AG)
    spread_A, spreads = _spread(values, missed)
    missed_QG = np.concatenate([each / spread_Q[:, None] for each, spread_Q in zip(missed, spreads, strict=True)])
    factors_GL, luck_KEE = _decompose(missed_QG, grid)
    return Experience(
        grid=grid,
        feature_names=basis.names,
        lengths_F=basis.lengths_F,
        limits_2F=basis.limits_2F,
        centres_AF=basis.centres_AF,
        mean_G=mean_G,
        regression_AG=regression_AG,
        spread_A=spread_A,
        factors_GL=factors_GL,
        luck_KEE=luck_KEE,
        provenance=provenance,
    )


def fingerprint(replay: Replay) -> str:
    """Return a digest of the validation gains and the features of a sweep."""
    digest = hashlib.sha256()
    names = sorted(replay.space.feature_names)
    places = [replay.space.feature_names.index(name) for name in names]
    for array in (replay.gains_QSE, replay.space.features_QF[:, places]):
        digest.update(np.round(array, 6).astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _lengths(spaces: Sequence[Space]) -> dict[str, float]:
    """Return the length scale of each feature.

    Features that are numbers of samples are left out, because their meaning depends on the data set.
    """
    names = [name for name in spaces[0].feature_names if all(name in each.feature_names for each in spaces)]
    columns = {
        name: np.concatenate([each.features_QF[:, each.feature_names.index(name)] for each in spaces])
        for name in names
        if not name.startswith("num_")
    }
    deviations = {name: float(values.std()) for name, values in columns.items() if values.std() > _LEAST_DEVIATION}
    of_one = _LENGTH_DEVIATIONS * math.sqrt(len(deviations))
    # Few digits are kept, so that sums in another order give the same values.
    return {name: float(np.float16(of_one * deviation)) for name, deviation in deviations.items()}


def _gains(replay: Replay, grid: ExperienceGrid) -> FloatArray:
    """Return gains, of shape (Q, G), in compressed points. NaN for a point of the grid that the sweep lacks."""
    space = replay.space
    shares = np.arange(1, space.num_epochs + 1) / space.num_epochs
    by_share_EE = interpolation(np.concatenate([[0.0], shares]), grid.epoch_shares)[:, 1:]
    is_same = len(shares) == len(grid.epoch_shares)
    gains_QSE = compress(replay.gains_QSE)
    gains_QSE = gains_QSE if is_same else gains_QSE @ by_share_EE.T
    place_of = places_on_grid(space)
    gains_QNWTE = np.full((space.num_pairs, *grid.shape), np.nan)
    for number, combination in enumerate(grid.combinations):
        for w, weight in enumerate(grid.weights.tolist()):
            for t, temperature in enumerate(grid.temperatures.tolist()):
                place = place_of.get(computed(combination, weight, temperature))
                if place is not None:
                    gains_QNWTE[:, number, w, t] = gains_QSE[:, place]
    return gains_QNWTE.reshape(space.num_pairs, -1)


def _regress(values: Sequence[FloatArray], gains: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the mean, of shape (G,), and the coefficients, of shape (A, G), of a ridge regression.

    Each point of the grid is fitted to the sweeps that contain this point.

    Args:
        values: (Q, A) values of the functions of pairs in each sweep.
        gains: (Q, G) gains in each sweep. NaN for points that the sweep lacks.
    """
    has_NG = np.array([~np.isnan(gains_QG[0]) for gains_QG in gains])
    num_points, num_functions = has_NG.shape[1], values[0].shape[1]
    mean_G, regression_AG = np.zeros(num_points), np.zeros((num_functions, num_points))
    for has_N in np.unique(has_NG, axis=1).T:
        columns = np.flatnonzero((has_NG == has_N[:, None]).all(axis=0))
        if not has_N.any():
            continue
        having = np.flatnonzero(has_N).tolist()
        values_QA = np.concatenate([values[place] for place in having])
        gains_QG = np.concatenate([gains[place][:, columns] for place in having])
        mean_G[columns] = gains_QG.mean(axis=0)
        gram_AA = values_QA.T @ values_QA + _RIDGE * np.eye(num_functions)
        regression_AG[:, columns] = np.linalg.solve(gram_AA, values_QA.T @ (gains_QG - mean_G[columns]))
    return mean_G, regression_AG


def _spread(values: Sequence[FloatArray], missed: Sequence[FloatArray]) -> tuple[FloatArray, list[FloatArray]]:
    """Return the coefficients of the spread of residuals, and the spreads of the pairs of each sweep.

    The coefficients, of shape (A,), are fitted to all sweeps. The spreads of a sweep, of shape (Q,), are predicted by a
    fit to all other sweeps.
    """
    logarithms = [np.log(np.nanmean(missed_QG**2, axis=1, keepdims=True)) / 2 for missed_QG in missed]
    _, spread_A1 = _regress(values, logarithms)
    by_others = []
    for place in range(len(values)):
        _, others_A1 = _regress(_without(values, place), _without(logarithms, place))
        by_others.append(spread(values[place], others_A1[:, 0]))
    return spread_A1[:, 0], by_others


def _without(sweeps: Sequence[FloatArray], place: int) -> list[FloatArray]:
    return [sweep for other, sweep in enumerate(sweeps) if other != place]


def _second_moments(missed_QG: FloatArray) -> FloatArray:
    """Return the mean product of the residuals at two points of the grid, for all pairs of points, of shape (G, G).

    The mean is over the pairs of peers with both residuals. It is 0 if there is no such pair.
    """
    is_known_QG = ~np.isnan(missed_QG)
    if is_known_QG.all():
        return missed_QG.T @ missed_QG / len(missed_QG)
    known_QG, counts_QG = np.where(is_known_QG, missed_QG, 0.0), is_known_QG.astype(np.float64)
    moments_GG: FloatArray = known_QG.T @ known_QG / np.maximum(counts_QG.T @ counts_QG, 1)
    return moments_GG


def _decompose(missed_QG: FloatArray, grid: ExperienceGrid) -> tuple[FloatArray, FloatArray]:
    """Return the first principal components of residuals, and the covariance that they leave.

    The shapes are (G, L) and (K, E, E).

    The second result is the part of the covariance between the epochs of a trial that the components do not explain.

    The components are computed from the correlation matrix. Components of the covariance matrix would mostly describe
    bad settings, because their gains vary most, and would say little about good settings.
    """
    num_epochs = grid.shape[-1]
    is_there_K = (grid.has_weight_NW[:, :, None] & grid.has_temperature_NT[:, None, :]).ravel()
    is_there_G = np.repeat(is_there_K, num_epochs)
    covariance_DD = _second_moments(missed_QG[:, is_there_G])
    sd_D = np.sqrt(np.diagonal(covariance_DD) + _LEAST_SD**2)
    values, vectors = np.linalg.eigh(covariance_DD / np.multiply.outer(sd_D, sd_D))
    kept = slice(-min(_NUM_FUNCTIONS, len(values)), None)
    factors_DL = sd_D[:, None] * vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    factors_GL = np.zeros((len(is_there_G), factors_DL.shape[1]))
    factors_GL[is_there_G] = factors_DL
    left_DD = covariance_DD - factors_DL @ factors_DL.T
    num_trials = int(is_there_K.sum())
    left_TETE = left_DD.reshape(num_trials, num_epochs, num_trials, num_epochs)
    luck_KEE = np.zeros((len(is_there_K), num_epochs, num_epochs))
    luck_KEE[is_there_K] = left_TETE[np.arange(num_trials), :, np.arange(num_trials)]
    return factors_GL, luck_KEE


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn from tables and write the experience."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning.learn_experience", description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE")
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="TEXT",
        help="the description of a table; give the option once for each table",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    given = parser.parse_args(arguments)
    replays = [load_replay(path) for path in given.tables]
    notes = given.note or [""] * len(replays)
    if len(notes) != len(replays):
        parser.error(f"note must be given for each of {len(replays)} tables or for none, got {len(notes)}")
    lines = [
        f"{replay.space.num_pairs} pairs, global_accuracy, {fingerprint(replay)} {note}".rstrip()
        for replay, note in zip(replays, notes, strict=True)
    ]
    save(learn(replays, provenance="\n".join(lines)), given.output)


if __name__ == "__main__":
    main()
