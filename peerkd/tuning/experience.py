"""Experience: a model of gains that was fitted to earlier full sweeps, and gives a tuner an informed prior.

The model was fitted by ``benchmarks/tuning/learn_experience.py``. It describes the gain ``y`` of pair ``p`` at each
point ``g`` of a grid of trials, as the sum of an expected gain and a deviation::

    y(p, g) = mean(g) + phi(p) regression(g) + spread(p) * (factors(g) z + luck(g))

- ``mean`` and ``regression`` give the expected gain: a ridge regression on ``phi``, the basis functions of pairs.
- ``spread`` says how large the deviations of a pair are, compared with other pairs.
- ``factors`` are the principal components of the deviations on sweeps to which the regression was not fitted. Their
  weights ``z`` are standard normal variables.
- ``luck`` is an effect of each single trial, which is correlated between the epochs of the trial.

The grid, and the interpolation between its points, are in ``experience_grid``. Gains are in compressed points
(``settings_prior``). All sweeps used the default conventions and losses with their default hyper-parameters.

Each model is stored next to this module as an archive of plain arrays: ``learned_experience.npz`` for the labelled sets
with one loss and target, and ``learned_wide_experience.npz`` for several losses and targets. A study starts from the
first archive that covers its space.

Shape suffixes: Q = pairs, S = settings, G = grid: combinations of transfer set, loss and target x weights x
temperatures x epochs, E = epochs of the grid, A = basis functions of pairs, F = features, L = factors, K = trials of
the grid in ``luck_KEE``, else transfer sets, R = rungs, C = targets: rungs x settings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from peerkd.arrays import FloatArray, IntArray
from peerkd.losses.pairs.term import HINTON, distillation_term
from peerkd.tuning.experience_grid import Combination, ExperienceGrid, interpolation
from peerkd.tuning.pair_basis import PairBasis
from peerkd.tuning.prior import Prior
from peerkd.tuning.space import Space
from peerkd.wording import plural

SHIPPED: Final = tuple(
    Path(__file__).with_name(name) for name in ("learned_experience.npz", "learned_wide_experience.npz")
)

_NOISE_SD: Final = 0.6
"""The standard deviation of a validation accuracy, in points."""

_OF_EXPERIMENT_SHARE: Final = 0.15
"""The share of the residual variance that all pairs of an experiment have in common."""

_ACROSS_PAIRS_SHARE: Final = 0.1
"""The share of the residual variance that similar pairs of an experiment have in common."""

_NUM_OF_EXPERIMENT: Final = 12
"""The rank of the approximation of the covariance that all pairs of an experiment have in common."""
_NUM_ACROSS: Final = 8
"""The rank of the approximation of the covariance that similar pairs of an experiment have in common."""

_TRUST_SD: Final = 0.3
"""The prior standard deviation of a factor by which a study scales the expected gains on a transfer set.

The study learns the factor from its observations."""

_LARGEST_SPREAD_LOGARITHM: Final = 1.0
"""The maximum absolute logarithm of a pair's spread. Without a limit, a few pairs could get all of the trials."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Experience:
    """The fitted model. Its fields are the arrays in the archive."""

    grid: ExperienceGrid

    feature_names: tuple[str, ...]
    lengths_F: FloatArray
    """The length scale of each feature: the difference over which gains change noticeably."""

    limits_2F: FloatArray
    """The minimum and the maximum of each feature over all sweeps, divided by the feature's length scale."""

    centres_AF: FloatArray
    """The features of the centres of the basis functions, each divided by its length scale."""

    mean_G: FloatArray
    regression_AG: FloatArray
    """The coefficients of the regression of gains on the basis functions."""

    spread_A: FloatArray
    """The coefficients of a second regression, which predicts the logarithm of the spread of a pair."""

    factors_GL: FloatArray
    """The principal components of the residuals, each multiplied by its standard deviation."""

    luck_KEE: FloatArray
    """The covariance of ``luck`` between the epochs of a trial, for each trial of the grid (K).

    It includes the noise of validation.
    """

    provenance: str
    """The names of the sweeps to which the model was fitted, one per line."""

    def covers(self, space: Space) -> bool:
        """Return whether the experience can be used for a space. If it cannot, ``differences`` returns the reasons."""
        return not self.differences(space)

    def differences(self, space: Space) -> list[str]:
        """Return the reasons why the experience cannot be used for a space, as clauses that can follow "because".

        The list is empty if the experience can be used.
        """
        return [*self._differences_of_settings(space), *_differences_of_loss(space)]

    def _differences_of_settings(self, space: Space) -> Iterator[str]:
        if not space.has_global_gains:
            yield "the objective is not global accuracy alone"
        if missing := [name for name in self.feature_names if name not in space.feature_names]:
            names = missing[0] if len(missing) == 1 else f"{missing[0]}, ..."
            yield f"the study lacks {plural(len(missing), 'feature')} of pairs ({names})"
        if len({setting.learning_rate for setting in space.settings}) > 1:
            yield "several learning rates are tried"
        yield from self.grid.differences(space)

    def expected(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the expected gains of the pairs of a space, of shape (Q, C), in compressed points.

        Args:
            space: A space without ``differences``.
            rungs: The rungs. The targets are ordered by rung and then by setting.
        """
        expected_QG = self.mean_G + self.basis.values(space) @ self.regression_AG
        expected_QC: FloatArray = expected_QG @ self.grid.interpolation(space, rungs).T
        return expected_QC

    def spread(self, space: Space) -> FloatArray:
        """Return how widely the gains of each pair of a space spread about their expectations, of shape (Q,).

        The spread is relative: an average pair has the spread 1.
        """
        return spread(self.basis.values(space), self.spread_A)

    def prior(self, space: Space, rungs: IntArray) -> Prior:
        """Return the prior over the gains of a pair. There is a target for each rung and each setting.

        The prior describes how gains deviate from the expected gains, which ``expected`` returns.

        Args:
            space: A space without ``differences``.
            rungs: The rungs. The targets are ordered by rung and then by setting.
        """
        interpolation_CG = self.grid.interpolation(space, rungs)
        factors_CL = interpolation_CG @ self.factors_GL
        of_experiment_CU = _main_functions(factors_CL, num=_NUM_OF_EXPERIMENT) * np.sqrt(_OF_EXPERIMENT_SHARE)
        across_CR = _main_functions(factors_CL, num=_NUM_ACROSS) * np.sqrt(_ACROSS_PAIRS_SHARE)
        across_CC = across_CR @ across_CR.T
        sets_S = [setting.transfer_set for setting in space.settings]
        is_on_CK = np.tile([[each == name for name in self.grid.transfer_sets] for each in sets_S], (len(rungs), 1))
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
        """Return the covariance of ``luck`` between all targets, of shape (C, C), without the noise of validation."""
        by_share = interpolation(np.concatenate([[0.0], self.grid.epoch_shares]), rungs / space.num_epochs)[:, 1:]
        num_settings = len(space.settings)
        luck_CC = np.zeros((len(rungs) * num_settings, len(rungs) * num_settings))
        noise = _NOISE_SD**2 * np.eye(len(self.grid.epoch_shares))
        luck_SEE = np.einsum("sk,kef->sef", self.grid.interpolation_of_trials(space), self.luck_KEE)
        for place, luck_EE in enumerate(luck_SEE):
            of_setting = np.arange(len(rungs)) * num_settings + place
            luck_CC[np.ix_(of_setting, of_setting)] = by_share @ _positive(luck_EE - noise) @ by_share.T
        return luck_CC


def spread(values_QA: FloatArray, spread_A: FloatArray) -> FloatArray:
    """Return how widely the gains of each pair spread about their expectations, of shape (Q,).

    The spread is relative: an average pair has the spread 1.

    Args:
        values_QA: The values of the basis functions at the pairs.
        spread_A: The coefficients ``Experience.spread_A``.
    """
    logarithms_Q = np.clip(values_QA @ spread_A, -_LARGEST_SPREAD_LOGARITHM, _LARGEST_SPREAD_LOGARITHM)
    spread_Q: FloatArray = np.exp(logarithms_Q)
    return spread_Q


def rung_epochs(space: Space, *, num_rungs: int) -> IntArray:
    """Return the rungs of a space, of shape (R,): the epochs after which a trial may be stopped, the last epoch first.

    With experience there is one target for each rung and setting. The targets are ordered by rung and then by setting,
    so the first S targets are the gains of whole trials.
    """
    rungs = np.unique(np.ceil(np.linspace(0, space.num_epochs, num_rungs + 1)[1:]).astype(np.int64))
    return rungs[::-1].copy()


def save(experience: Experience, path: Path) -> None:
    """Write an experience as an archive of arrays. The same experience gives the same bytes."""
    grid = experience.grid
    small = {name: getattr(experience, name).astype(np.float16) for name in _ROUNDED}
    exact = {name: getattr(experience, name) for name in _EXACT} | {name: getattr(grid, name) for name in _OF_GRID}
    texts = {name: np.array(getattr(experience, name)) for name in ("feature_names", "provenance")}
    with path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, combinations=np.array(grid.combinations), **small, **exact, **texts
        )


def load(path: Path) -> Experience:
    """Read an archive that ``save`` wrote.

    Raises:
        ValueError: If the file does not exist or is not such an archive.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Experience(
                grid=_read_grid(arrays),
                feature_names=tuple(arrays["feature_names"].tolist()),
                provenance=str(arrays["provenance"]),
                **_read_arrays(arrays),
            )
    except (OSError, EOFError, BadZipFile, KeyError, ValueError) as error:
        raise ValueError(
            f"experience must be an archive that peerkd.tuning.experience.save wrote, got {path}."
        ) from error


def _read_grid(arrays: Mapping[str, NDArray[Any]]) -> ExperienceGrid:
    if "combinations" in arrays:
        return ExperienceGrid(
            combinations=tuple(Combination(*each) for each in arrays["combinations"].tolist()),
            **{name: arrays[name] for name in _OF_GRID},
        )
    # An archive from before losses and targets were dimensions. Every transfer set has the whole grid.
    return ExperienceGrid.full(
        [Combination(name) for name in arrays["transfer_sets"].tolist()],
        **{name: arrays[name] for name in ("weights", "temperatures", "epoch_shares")},
    )


def _read_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
    read = {name: arrays[name].astype(np.float64) for name in (*_ROUNDED, *_EXACT)}
    if "combinations" not in arrays:
        # The archive has one covariance for all trials on a transfer set.
        num_trials = len(arrays["weights"]) * len(arrays["temperatures"])
        read["luck_KEE"] = np.repeat(read["luck_KEE"], num_trials, axis=0)
    return read


@cache
def shipped() -> tuple[Experience, ...]:
    """Return the experiences that come with the package."""
    return tuple(load(path) for path in SHIPPED)


def shipped_for(space: Space) -> Experience | None:
    """Return the first experience that comes with the package and covers a space; None if none does."""
    return next((each for each in shipped() if each.covers(space)), None)


def why_unused(space: Space, *, is_wanted: bool) -> str | None:
    """Return the reason why a study does not use the shipped experience, as a clause; None if the study uses it.

    Args:
        space: The space of the study.
        is_wanted: The value of ``tune.experience`` in the config.
    """
    if not is_wanted:
        return "tune.experience is false"
    # Of several experiences, the one that lacks the least is named.
    differences = [each.differences(space) for each in shipped()]
    fewest = min(differences, key=len)
    return "; ".join(fewest) or None


_ROUNDED: Final = ("centres_AF", "mean_G", "regression_AG", "spread_A", "factors_GL", "luck_KEE")
_EXACT: Final = ("lengths_F", "limits_2F")
_OF_GRID: Final = ("weights", "temperatures", "epoch_shares", "has_weight_NW", "has_temperature_NT")


def _differences_of_loss(space: Space) -> Iterator[str]:
    term = space.term
    if term.parameters != distillation_term(term.loss).parameters:
        yield f"the hyper-parameters of the {term.loss.title} are not the defaults"
    if term.reduction != HINTON.reduction:
        yield f"the reduction is {term.reduction}, not {HINTON.reduction}"
    if term.scale_by_temperature_squared != HINTON.scale_by_temperature_squared:
        yield "the loss is not multiplied by T^2"
    if space.teacher_mode != "eval":
        yield f"the teacher is in {space.teacher_mode} mode, not in eval mode"


def _main_functions(factors_CL: FloatArray, *, num: int) -> FloatArray:
    left, values, _ = np.linalg.svd(factors_CL, full_matrices=False)
    functions: FloatArray = left[:, :num] * values[:num]
    return functions


def _positive(covariance: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    positive: FloatArray = (vectors * np.maximum(values, 0)) @ vectors.T
    return positive
