"""The prior over the gains of all pairs, from which a ``Posterior`` starts. Gains are in compressed points.

The prior describes the gains of one pair as a vector over *targets*: settings, or settings after some of their epochs.
It is the sum of independent parts. The fields of ``Prior`` contain the factors and covariances of these parts. The
docstring of the module ``posterior`` states the model.

Shape suffixes: S = targets, R = functions of targets whose weights depend on the pair, U = functions whose weights all
pairs share, K = transfer sets whose expectations are scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.tuning.settings_prior import ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR, covariance, set_means
from peerkd.tuning.space import SettingOnSet

_OF_ALL_PAIRS_SD: Final = 3.0
_ACROSS_PAIRS_SD: Final = 2.8
_WITHIN_PAIR_SD: Final = 2.8
_OF_SETTING_SD: Final = 0.3
_OF_TRIAL_SD: Final = 0.75
"""The standard deviation of the part of a gain that is due to the single trial: by chance, its network is better or
worse on all samples."""

_NOISE_SD: Final = 0.7
"""The standard deviation of the noise of a validation accuracy, in points. The noise comes from the finite number of
samples."""

_NUM_FUNCTIONS: Final = 10

_MAX_SHARED: Final = 128
"""The maximum number of functions of targets whose weights all pairs share.

A study of several losses and targets may have more settings than this. The part of the variance that the functions
cannot explain is then attributed to each pair separately.
"""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prior:
    """The prior over the gains of one pair, divided into the parts of the model. All pairs have the same prior."""

    mean_S: FloatArray
    """The prior mean of each target."""

    across_SR: FloatArray
    """The values of the functions ``psi`` of the model for each target. Every pair has its own weights for them."""

    shared_SU: FloatArray
    """The values of the functions ``chi`` of the model for each target. All pairs have the same weights for them."""

    trusted_SK: FloatArray
    """The standard deviation of ``t`` in the model: the expected gain of each target is scaled by ``1 + t``.

    Each transfer set (column) has its own ``t``. The value is 0 if the target (row) is on a different transfer set.
    """

    own_SS: FloatArray
    """The covariance of the part that is specific to one pair."""

    noise_sd: float
    """The standard deviation of the noise of an observation."""

    across_SS: FloatArray
    """The covariance of the across-pair part of one pair: ``across_SR @ across_SR.T``."""


def settings_prior(settings: Sequence[SettingOnSet]) -> Prior:
    """Return the prior for a study without experience, whose targets are the settings."""
    wanted_SS = covariance(settings, ACROSS_PAIRS) * _ACROSS_PAIRS_SD**2
    across_SR = low_rank(wanted_SS, rank=_NUM_FUNCTIONS)
    across_SS = across_SR @ across_SR.T
    shared_SS = covariance(settings, OF_ALL_PAIRS) * _OF_ALL_PAIRS_SD**2 + _OF_SETTING_SD**2 * np.eye(len(settings))
    own_SS = covariance(settings, WITHIN_PAIR) * _WITHIN_PAIR_SD**2
    shared_SU = low_rank(shared_SS, rank=_MAX_SHARED)
    if len(settings) > _MAX_SHARED:
        own_SS += shared_SS - shared_SU @ shared_SU.T
    return Prior(
        mean_S=set_means(settings),
        across_SR=across_SR,
        shared_SU=shared_SU,
        trusted_SK=np.zeros((len(settings), 0)),
        # The low-rank part drops some variance. It is added back here, so that the total variance stays as intended.
        own_SS=own_SS + (wanted_SS - across_SS) + _OF_TRIAL_SD**2 * np.eye(len(settings)),
        noise_sd=_NOISE_SD,
        across_SS=across_SS,
    )


def low_rank(covariance_SS: FloatArray, *, rank: int) -> FloatArray:
    """Return the factor, of shape (S, R), of the best approximation of a covariance by a matrix of the given rank.

    By the theorem of Eckart and Young (1936), these are the eigenvectors of the largest eigenvalues, each multiplied by
    the root of its eigenvalue.
    """
    values, vectors = np.linalg.eigh(covariance_SS)
    kept = slice(-min(rank, len(values)), None)
    factor_SR: FloatArray = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    return factor_SR
