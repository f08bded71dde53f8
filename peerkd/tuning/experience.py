"""What earlier full sweeps taught about settings, so that a tuner need not begin from nothing.

Gains after each part of a trial are expected by a regression on the features of pairs. What it leaves open is described
by a few functions of settings and epochs, which many pairs share, and by the luck of single trials. It is a small file
of plain arrays, ``learned_experience.npz`` beside this module, written by ``benchmarks/tuning/learn_experience.py``.

Between the temperatures, weights and epochs that were swept, what is known is interpolated; transfer sets are told by
name. Units are compressed points (``settings_prior``).

Shape suffixes: Q = pairs, S = settings, G = the grid that was swept: transfer sets x weights x temperatures x epochs,
E = epochs of the grid, A = functions of pairs, F = features, L = functions of settings, C = what can be measured.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.pair_basis import PairBasis
from peerkd.tuning.prior import Prior
from peerkd.tuning.space import Space

SHIPPED: Final = Path(__file__).with_name("learned_experience.npz")

_NOISE_SD: Final = 0.6
"""Of a trial's validation, in points."""

_OF_EXPERIMENT_SHARE: Final = 0.15
"""Of the variance that is left, what all pairs of an experiment have in common."""

_ACROSS_PAIRS_SHARE: Final = 0.1
"""Likewise, what similar pairs of an experiment have in common."""

_NUM_OF_EXPERIMENT: Final = 12
_NUM_ACROSS: Final = 8
_TRUST_SD: Final = 0.3
"""Of the factor by which what is expected on a transfer set is right. Far from 1 it is learned soon enough."""

_LARGEST_SPREAD_LOGARITHM: Final = 1.0

_BEYOND_OCTAVES: Final = 1.0
_BEYOND_WEIGHT: Final = 0.1
"""How far from the grid a setting may lie to be taken for the nearest one on it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Experience:
    """What was learned, on the grid on which it was."""

    transfer_sets: tuple[str, ...]
    weights: FloatArray
    """Distillation weights, ascending."""

    temperatures: FloatArray
    """Ascending."""

    epoch_shares: FloatArray
    """Shares of a whole trial, ascending; the last is 1."""

    feature_names: tuple[str, ...]
    lengths_F: FloatArray
    """Distance in each feature over which gains change."""

    limits_2F: FloatArray
    """The least and the largest of each feature that was seen, divided by its length."""

    centres_AF: FloatArray
    """Features of pairs that functions of pairs are centred at, each divided by its length."""

    mean_G: FloatArray
    regression_AG: FloatArray
    """Gains are expected to be ``mean_G`` plus functions of pairs times these."""

    spread_A: FloatArray
    """Functions of pairs times these are the logarithm of how far pairs are from what is expected, in proportion."""

    factors_GL: FloatArray
    """What is left open is a sum of these with standard normal weights, and the luck of trials."""

    luck_KEE: FloatArray
    """Covariance of the luck of a trial, epoch by epoch, for each of ``transfer_sets``."""

    provenance: str
    """From which sweeps, one a line."""

    def covers(self, space: Space) -> bool:
        """Return whether a space is comparable: the same gains and features, and settings about on the grid."""
        has_all = space.has_global_gains and set(self.feature_names) <= set(space.feature_names)
        # The sweeps that were learned from had one learning rate.
        has_all = has_all and len({setting.learning_rate for setting in space.settings}) == 1
        return has_all and all(
            setting.transfer_set in self.transfer_sets
            and abs(_beyond(np.log2(self.temperatures), np.log2(setting.temperature))) <= _BEYOND_OCTAVES
            and abs(_beyond(self.weights, setting.distillation_weight)) <= _BEYOND_WEIGHT + 1e-9
            for setting in space.settings
        )

    def expected(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the gains (Q, C) that are expected of pairs of a space; see ``measurable``."""
        expected_QG = self.mean_G + self.basis.values(space) @ self.regression_AG
        expected_QC: FloatArray = expected_QG @ self._interpolation(space, rungs).T
        return expected_QC

    def spread(self, space: Space) -> FloatArray:
        """Return how far gains of each pair (Q,) of a space may be from what is expected, in proportion to others."""
        return spread(self.basis.values(space), self.spread_A)

    def prior(self, space: Space, rungs: IntArray) -> Prior:
        """Return what is left open of what can be measured; see ``measurable``."""
        interpolation_CG = self._interpolation(space, rungs)
        factors_CL = interpolation_CG @ self.factors_GL
        of_experiment_CU = _main_functions(factors_CL, num=_NUM_OF_EXPERIMENT) * np.sqrt(_OF_EXPERIMENT_SHARE)
        across_CR = _main_functions(factors_CL, num=_NUM_ACROSS) * np.sqrt(_ACROSS_PAIRS_SHARE)
        across_CC = across_CR @ across_CR.T
        sets_S = [setting.transfer_set for setting in space.settings]
        is_on_CK = np.tile([[each == name for name in self.transfer_sets] for each in sets_S], (len(rungs), 1))
        own_CC = factors_CL @ factors_CL.T - of_experiment_CU @ of_experiment_CU.T - across_CC
        return Prior(
            mean_S=interpolation_CG @ self.mean_G,
            across_SR=across_CR,
            shared_SU=of_experiment_CU,
            trusted_SK=is_on_CK * _TRUST_SD,
            own_SS=own_CC + self._luck(space, rungs),
            noise_sd=_NOISE_SD,
            across_SS=across_CC,
        )

    @property
    def basis(self) -> PairBasis:
        """The functions of pairs."""
        return PairBasis.centred(
            self.feature_names, lengths_F=self.lengths_F, limits_2F=self.limits_2F, centres_AF=self.centres_AF
        )

    def _luck(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the covariance (C, C) of what trials have by luck and keep."""
        by_share = _interpolation(np.concatenate([[0.0], self.epoch_shares]), rungs / space.num_epochs)[:, 1:]
        num_settings = len(space.settings)
        luck_CC = np.zeros((len(rungs) * num_settings, len(rungs) * num_settings))
        noise = _NOISE_SD**2 * np.eye(len(self.epoch_shares))
        for place, setting in enumerate(space.settings):
            luck_EE = _positive(self.luck_KEE[self.transfer_sets.index(setting.transfer_set)] - noise)
            of_setting = np.arange(len(rungs)) * num_settings + place
            luck_CC[np.ix_(of_setting, of_setting)] = by_share @ luck_EE @ by_share.T
        return luck_CC

    def _interpolation(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the weights (C, G) that make what can be measured of what is known of the grid."""
        settings = space.settings
        sets = np.array([[setting.transfer_set == name for name in self.transfer_sets] for setting in settings])
        weights = _interpolation(self.weights, np.array([setting.distillation_weight for setting in settings]))
        temperatures = _interpolation(np.log2(self.temperatures), np.log2([each.temperature for each in settings]))
        # Before the first epoch nothing is gained, by no pair.
        shares = _interpolation(np.concatenate([[0.0], self.epoch_shares]), rungs / space.num_epochs)[:, 1:]
        grid_RSG: FloatArray = np.einsum("sk,sw,st,re->rskwte", sets * 1.0, weights, temperatures, shares)
        return grid_RSG.reshape(len(rungs) * len(settings), -1)


def spread(values_QA: FloatArray, spread_A: FloatArray) -> FloatArray:
    """Return ``Experience.spread`` (Q,) from functions of pairs: none is far from others, so that all are tried."""
    logarithms_Q = np.clip(values_QA @ spread_A, -_LARGEST_SPREAD_LOGARITHM, _LARGEST_SPREAD_LOGARITHM)
    spread_Q: FloatArray = np.exp(logarithms_Q)
    return spread_Q


def measurable(space: Space, *, num_rungs: int) -> IntArray:
    """Return the epochs (R,) after which trials are looked at, the last one first.

    What can be measured is numbered by them, then by setting: the first S are whole trials.
    """
    rungs = np.unique(np.ceil(np.linspace(0, space.num_epochs, num_rungs + 1)[1:]).astype(np.int64))
    return rungs[::-1].copy()


def save(experience: Experience, path: Path) -> None:
    """Write it as an archive of arrays; the same experience gives the same bytes."""
    small = {name: getattr(experience, name).astype(np.float16) for name in _ROUNDED}
    exact = {name: getattr(experience, name) for name in _EXACT}
    texts = {name: np.array(getattr(experience, name)) for name in ("transfer_sets", "feature_names", "provenance")}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **small, **exact, **texts)


def load(path: Path) -> Experience:
    """Read what ``save`` wrote.

    Raises:
        ValueError: If the file is not there or holds something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Experience(
                transfer_sets=tuple(arrays["transfer_sets"].tolist()),
                feature_names=tuple(arrays["feature_names"].tolist()),
                provenance=str(arrays["provenance"]),
                **{name: arrays[name].astype(np.float64) for name in (*_ROUNDED, *_EXACT)},
            )
    except (OSError, EOFError, BadZipFile, KeyError, ValueError) as error:
        raise ValueError(
            f"experience must be an archive that peerkd.tuning.experience.save wrote, got {path}."
        ) from error


@cache
def shipped() -> Experience:
    """Return what comes with the package."""
    return load(SHIPPED)


_ROUNDED: Final = ("centres_AF", "mean_G", "regression_AG", "spread_A", "factors_GL", "luck_KEE")
_EXACT: Final = ("weights", "temperatures", "epoch_shares", "lengths_F", "limits_2F")


def _interpolation(grid: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the weights (wanted, grid) of linear interpolation; what lies beyond the grid is taken for its end."""
    return np.stack([np.interp(wanted, grid, unit) for unit in np.eye(len(grid))], axis=1)


def _beyond(grid: FloatArray, value: float) -> float:
    return float(value - np.clip(value, grid[0], grid[-1]))


def _main_functions(factors_CL: FloatArray, *, num: int) -> FloatArray:
    left, values, _ = np.linalg.svd(factors_CL, full_matrices=False)
    functions: FloatArray = left[:, :num] * values[:num]
    return functions


def _positive(covariance: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    positive: FloatArray = (vectors * np.maximum(values, 0)) @ vectors.T
    return positive
