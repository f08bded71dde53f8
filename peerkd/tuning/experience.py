"""Knowledge about settings from earlier full sweeps, which gives a tuner an informed prior.

The model was fitted by ``benchmarks/tuning/learn_experience.py`` and is stored as an archive of plain arrays,
``learned_experience.npz`` next to this module. With ``phi`` the basis functions of pairs, a gain ``y`` of pair ``p`` at
point ``g`` of the grid is::

    y(p, g) = mean(g) + phi(p) regression(g) + spread(p) * (factors(g) z + luck(g))

The first two terms are a ridge regression on the features of pairs. The residuals that it has on sweeps that were left
out of its fit are described by their principal components, ``factors`` with standard normal weights ``z``, and by an
independent effect of each trial, ``luck``, which is correlated between the epochs of the trial.

Between the temperatures, weights and epochs of the grid, everything is interpolated linearly. Gains are in compressed
points (``settings_prior``). All sweeps had the loss of Hinton et al. 2015 (``HINTON``), with the default conventions.

Shape suffixes: Q = pairs, S = settings, G = grid: transfer sets x weights x temperatures x epochs, E = epochs of the
grid, A = basis functions of pairs, F = features, L = factors, K = transfer sets, R = rungs, C = targets: rungs x
settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs.term import HINTON
from peerkd.tuning.pair_basis import PairBasis
from peerkd.tuning.prior import Prior
from peerkd.tuning.space import Space
from peerkd.wording import plural

SHIPPED: Final = Path(__file__).with_name("learned_experience.npz")

_NOISE_SD: Final = 0.6
"""Standard deviation of a validation accuracy, in points."""

_OF_EXPERIMENT_SHARE: Final = 0.15
"""Share of the residual variance that all pairs of an experiment have in common."""

_ACROSS_PAIRS_SHARE: Final = 0.1
"""Share of the residual variance that similar pairs of an experiment have in common."""

_NUM_OF_EXPERIMENT: Final = 12
_NUM_ACROSS: Final = 8
"""Ranks of these two parts."""

_TRUST_SD: Final = 0.3
"""Prior standard deviation of the factor that scales the expectation on a transfer set. A study learns the factor."""

_LARGEST_SPREAD_LOGARITHM: Final = 1.0
"""Limit on the logarithm of a pair's spread, in both directions, so that no pair gets all or none of the trials."""

_BEYOND_OCTAVES: Final = 1.0
_BEYOND_WEIGHT: Final = 0.1
"""The distance to which a setting may lie beyond the grid. It is treated as the nearest setting on the grid."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Experience:
    """The fitted model. Its fields are the arrays of the archive."""

    transfer_sets: tuple[str, ...]
    weights: FloatArray
    """Distillation weights of the grid, ascending."""

    temperatures: FloatArray
    """Temperatures of the grid, ascending."""

    epoch_shares: FloatArray
    """Epochs of the grid as fractions of a whole trial, ascending. The last is 1."""

    feature_names: tuple[str, ...]
    lengths_F: FloatArray
    """Length scale of each feature: the distance over which gains change."""

    limits_2F: FloatArray
    """Minimum and maximum of each feature over all sweeps, divided by its length."""

    centres_AF: FloatArray
    """Features of the centres of the basis functions, each divided by its length."""

    mean_G: FloatArray
    regression_AG: FloatArray
    """Coefficients of the regression."""

    spread_A: FloatArray
    """Coefficients of a second regression, of the logarithm of the spread."""

    factors_GL: FloatArray
    """Principal components of the residuals, each times its standard deviation."""

    luck_KEE: FloatArray
    """Covariance of a trial's own effect between epochs, for each transfer set. It includes the noise of validation."""

    provenance: str
    """The sweeps that the model was fitted to, one per line."""

    def covers(self, space: Space) -> bool:
        """Return whether a space differs from the sweeps in nothing that ``differences`` names."""
        return not self.differences(space)

    def differences(self, space: Space) -> list[str]:
        """Return what makes a space too different from the sweeps, as clauses that may follow "because"."""
        return [*self._differences_of_settings(space), *_differences_of_loss(space)]

    def _differences_of_settings(self, space: Space) -> Iterator[str]:
        if not space.has_global_gains:
            yield "the objective is not global accuracy alone"
        if missing := [name for name in self.feature_names if name not in space.feature_names]:
            names = missing[0] if len(missing) == 1 else f"{missing[0]}, ..."
            yield f"the study lacks {plural(len(missing), 'feature')} of pairs ({names})"
        for name, nouns in (("learning_rate", "learning rates"), ("loss", "losses"), ("target", "targets")):
            if len({getattr(setting, name) for setting in space.settings}) > 1:
                yield f"several {nouns} are tried"
        for name in dict.fromkeys(setting.transfer_set for setting in space.settings):
            if name not in self.transfer_sets:
                yield f"the transfer set {name} is unknown to it"
        for temperature in sorted({setting.temperature for setting in space.settings}):
            if abs(_beyond(np.log2(self.temperatures), np.log2(temperature))) > _BEYOND_OCTAVES:
                yield f"the temperature {temperature:g} is too far from {_ends(self.temperatures)}"
        for weight in sorted({setting.distillation_weight for setting in space.settings}):
            if abs(_beyond(self.weights, weight)) > _BEYOND_WEIGHT + 1e-9:
                yield f"the distillation weight {weight:g} is too far from {_ends(self.weights)}"

    def expected(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the expected gains (Q, C) of the pairs of a space. ``rung_epochs`` gives the order of the targets."""
        expected_QG = self.mean_G + self.basis.values(space) @ self.regression_AG
        expected_QC: FloatArray = expected_QG @ self._interpolation(space, rungs).T
        return expected_QC

    def spread(self, space: Space) -> FloatArray:
        """Return the relative spread (Q,) of the gains of each pair of a space about their expectations."""
        return spread(self.basis.values(space), self.spread_A)

    def prior(self, space: Space, rungs: IntArray) -> Prior:
        """Return the prior over the deviations of gains from their expectations. ``rung_epochs`` orders the targets."""
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
        """The basis functions of pairs."""
        return PairBasis.centred(
            self.feature_names, lengths_F=self.lengths_F, limits_2F=self.limits_2F, centres_AF=self.centres_AF
        )

    def _luck(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the covariance (C, C) of the own effects of trials, without the noise of validation."""
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
        """Return the weights (C, G) that interpolate values on the grid to the targets."""
        settings = space.settings
        sets = np.array([[setting.transfer_set == name for name in self.transfer_sets] for setting in settings])
        weights = _interpolation(self.weights, np.array([setting.distillation_weight for setting in settings]))
        temperatures = _interpolation(np.log2(self.temperatures), np.log2([each.temperature for each in settings]))
        # Before the first epoch every gain is 0. That is a point of the grid for which no values are stored.
        shares = _interpolation(np.concatenate([[0.0], self.epoch_shares]), rungs / space.num_epochs)[:, 1:]
        grid_RSG: FloatArray = np.einsum("sk,sw,st,re->rskwte", sets * 1.0, weights, temperatures, shares)
        return grid_RSG.reshape(len(rungs) * len(settings), -1)


def spread(values_QA: FloatArray, spread_A: FloatArray) -> FloatArray:
    """Return the relative spread (Q,) of pairs from the values of their basis functions; see ``Experience.spread``."""
    logarithms_Q = np.clip(values_QA @ spread_A, -_LARGEST_SPREAD_LOGARITHM, _LARGEST_SPREAD_LOGARITHM)
    spread_Q: FloatArray = np.exp(logarithms_Q)
    return spread_Q


def rung_epochs(space: Space, *, num_rungs: int) -> IntArray:
    """Return the rungs (R,): the epochs after which a trial may be stopped, the last epoch first.

    Targets are ordered by rung and then by setting, so the first S targets are whole trials.
    """
    rungs = np.unique(np.ceil(np.linspace(0, space.num_epochs, num_rungs + 1)[1:]).astype(np.int64))
    return rungs[::-1].copy()


def save(experience: Experience, path: Path) -> None:
    """Write an experience as an archive of arrays. The same experience gives the same bytes."""
    small = {name: getattr(experience, name).astype(np.float16) for name in _ROUNDED}
    exact = {name: getattr(experience, name) for name in _EXACT}
    texts = {name: np.array(getattr(experience, name)) for name in ("transfer_sets", "feature_names", "provenance")}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **small, **exact, **texts)


def load(path: Path) -> Experience:
    """Read an archive that ``save`` wrote.

    Raises:
        ValueError: If the file does not exist or is not such an archive.
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
    """Return the experience that comes with the package."""
    return load(SHIPPED)


def why_unused(space: Space, *, is_wanted: bool) -> str | None:
    """Return why a study starts without the shipped experience, as a clause, or None if it starts from it.

    Args:
        space: The space of the study.
        is_wanted: ``tune.experience``.
    """
    if not is_wanted:
        return "tune.experience is false"
    return "; ".join(shipped().differences(space)) or None


_ROUNDED: Final = ("centres_AF", "mean_G", "regression_AG", "spread_A", "factors_GL", "luck_KEE")
_EXACT: Final = ("weights", "temperatures", "epoch_shares", "lengths_F", "limits_2F")


def _interpolation(grid: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the weights (wanted, grid) of linear interpolation.

    A point beyond the grid is treated as the end of the grid.
    """
    return np.stack([np.interp(wanted, grid, unit) for unit in np.eye(len(grid))], axis=1)


def _differences_of_loss(space: Space) -> Iterator[str]:
    term = space.term
    if (term.loss.name, term.parameters) != (HINTON.loss.name, HINTON.parameters):
        yield f"the loss is the {term.loss.title}, not the {HINTON.loss.title}"
    if term.reduction != HINTON.reduction:
        yield f"the reduction is {term.reduction}, not {HINTON.reduction}"
    if term.scale_by_temperature_squared != HINTON.scale_by_temperature_squared:
        yield "the loss is not multiplied by T^2"
    if space.target_title is not None:
        yield f"the target is {space.target_title}, not the teacher"
    if space.teacher_mode != "eval":
        yield f"the teacher is in {space.teacher_mode} mode, not in eval mode"


def _ends(grid: FloatArray) -> str:
    return f"its range, {grid[0]:g} to {grid[-1]:g}"


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
