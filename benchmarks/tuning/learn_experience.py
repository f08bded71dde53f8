"""Learn the experience of the tuner from full sweeps.

A TABLE is the ``trials.parquet`` of a sweep that was run with ``sweep.validate_every_epoch=true``, with
``features.parquet`` in the same folder.

Shape suffixes: Q = pairs, A = functions of pairs, G = transfer sets x weights x temperatures x epochs, E = epochs,
K = transfer sets, L = factors.
"""

import argparse
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.tuning.replay import Replay, load_replay
from peerkd.arrays import FloatArray
from peerkd.tuning.experience import Experience, save, spread
from peerkd.tuning.pair_basis import PairBasis
from peerkd.tuning.settings_prior import compress
from peerkd.tuning.space import Space

_NUM_FUNCTIONS: Final = 40
_RIDGE: Final = 2.0
"""Penalty of the ridge regression: the number of pairs that its prior is worth."""

_LENGTH_DEVIATIONS: Final = 0.8
"""Length scale of a feature in its standard deviations, if it were the only feature. It is multiplied by the root of
the number of features, since distances between pairs grow by this factor."""

_LEAST_DEVIATION: Final = 1e-6
"""A feature with a smaller standard deviation is ignored as constant."""

_MAX_CENTRES: Final = 128


def learn(replays: Sequence[Replay], *, provenance: str = "") -> Experience:
    """Fit an experience to the validation gains of full sweeps.

    The residuals of the regression are those of each sweep under a fit to all other sweeps.

    Args:
        replays: At least two sweeps on the same grid of settings and epochs.
        provenance: Description of the sweeps, one per line.

    Raises:
        ValueError: If there are too few sweeps, they differ in settings, or a combination of settings is missing.
    """
    if len(replays) < 2:
        raise ValueError(f"table must be given at least twice, to learn what differs, got {len(replays)}.")
    sets, weights, temperatures = _grid(replays[0].space)
    gains = [_gains(replay, sets, weights, temperatures) for replay in replays]
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
    factors_GL, luck_KEE = _decompose(
        missed_QG.T @ missed_QG / len(missed_QG), num_sets=len(sets), num_epochs=spaces[0].num_epochs
    )
    return Experience(
        transfer_sets=sets,
        weights=weights,
        temperatures=temperatures,
        epoch_shares=np.arange(1, spaces[0].num_epochs + 1) / spaces[0].num_epochs,
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
    """Return the length scale of each feature, without numbers of samples, whose meaning depends on the data set."""
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


def _grid(space: Space) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    sets = tuple(dict.fromkeys(setting.transfer_set for setting in space.settings))
    weights = np.unique([setting.distillation_weight for setting in space.settings])
    temperatures = np.unique([setting.temperature for setting in space.settings])
    return sets, weights, temperatures


def _gains(replay: Replay, sets: tuple[str, ...], weights: FloatArray, temperatures: FloatArray) -> FloatArray:
    """Return gains (Q, G) in compressed points."""
    space = replay.space
    if len({(each.learning_rate, each.loss, each.target) for each in space.settings}) > 1:
        raise ValueError(f"All tables must have one learning rate, loss and target, got several in {replay.name}.")
    places: dict[tuple[str, float, float], int] = {
        (each.transfer_set, each.distillation_weight, each.temperature): n for n, each in enumerate(space.settings)
    }
    wanted = [(name, weight, temperature) for name in sets for weight in weights for temperature in temperatures]
    if set(wanted) != places.keys():
        raise ValueError(
            f"All tables must have the same {len(wanted)} settings, every combination, got others in {replay.name}."
        )
    gains_QSE = compress(replay.gains_QSE[:, np.array([places[each] for each in wanted])])
    return gains_QSE.reshape(len(gains_QSE), -1)


def _regress(values: Sequence[FloatArray], gains: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return mean (G,) and coefficients (A, G) of a ridge regression."""
    values_QA, gains_QG = np.concatenate(values), np.concatenate(gains)
    mean_G = gains_QG.mean(axis=0)
    gram_AA = values_QA.T @ values_QA + _RIDGE * np.eye(values_QA.shape[1])
    return mean_G, np.linalg.solve(gram_AA, values_QA.T @ (gains_QG - mean_G))


def _spread(values: Sequence[FloatArray], missed: Sequence[FloatArray]) -> tuple[FloatArray, list[FloatArray]]:
    """Return the coefficients (A,) of the spread, and each sweep's spreads (Q,) under a fit to all other sweeps."""
    logarithms = [np.log((missed_QG**2).mean(axis=1, keepdims=True)) / 2 for missed_QG in missed]
    _, spread_A1 = _regress(values, logarithms)
    by_others = []
    for place in range(len(values)):
        _, others_A1 = _regress(_without(values, place), _without(logarithms, place))
        by_others.append(spread(values[place], others_A1[:, 0]))
    return spread_A1[:, 0], by_others


def _without(sweeps: Sequence[FloatArray], place: int) -> list[FloatArray]:
    return [sweep for other, sweep in enumerate(sweeps) if other != place]


def _decompose(covariance_GG: FloatArray, *, num_sets: int, num_epochs: int) -> tuple[FloatArray, FloatArray]:
    """Return the first principal components (G, L), and the covariance that they leave within trials (K, E, E)."""
    values, vectors = np.linalg.eigh(covariance_GG)
    kept = slice(-min(_NUM_FUNCTIONS, len(values)), None)
    factors_GL = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    left_GG = covariance_GG - factors_GL @ factors_GL.T
    num_trials = len(left_GG) // num_epochs
    left_TETE = left_GG.reshape(num_trials, num_epochs, num_trials, num_epochs)
    of_trials_TEE = left_TETE[np.arange(num_trials), :, np.arange(num_trials)]
    return factors_GL, of_trials_TEE.reshape(num_sets, -1, num_epochs, num_epochs).mean(axis=1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn from tables and write the experience."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning.learn_experience", description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE")
    parser.add_argument(
        "--note", action="append", default=[], metavar="TEXT", help="description of a table; once for each table"
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
