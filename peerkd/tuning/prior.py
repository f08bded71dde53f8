"""What is believed of the gains of all pairs before anything is measured: what a posterior begins with.

Units are compressed points (``settings_prior``).

Shape suffixes: S = what can be measured: settings, or settings after some of their epochs, R = functions of settings,
U = functions that all pairs share, K = expectations to be trusted more or less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.results.arrays import FloatArray
from peerkd.tuning.settings_prior import ACROSS_PAIRS, OF_ALL_PAIRS, WITHIN_PAIR, covariance, set_means
from peerkd.tuning.space import SettingOnSet

_OF_ALL_PAIRS_SD: Final = 3.0
_ACROSS_PAIRS_SD: Final = 2.8
_WITHIN_PAIR_SD: Final = 2.8
_OF_SETTING_SD: Final = 0.3
_OF_TRIAL_SD: Final = 0.75
"""What a trial has by luck and keeps: the network that came out is better, on whatever samples."""

_NOISE_SD: Final = 0.7
"""Of finite validation samples."""

_NUM_FUNCTIONS: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prior:
    """What settings have to do with each other, the same for every pair."""

    mean_S: FloatArray
    across_SR: FloatArray
    """Functions of settings that are weighed by functions of pairs."""

    shared_SU: FloatArray
    """Functions that have the same weight for all pairs."""

    trusted_SK: FloatArray
    """How uncertain it is by which factor to take what is expected: its standard deviation, each where it counts."""

    own_SS: FloatArray
    """Covariance of what is a pair's own."""

    noise_sd: float
    """Of a measurement about what is worth having."""

    across_SS: FloatArray
    """``across_SR @ across_SR.T``: what they amount to for a pair like no other."""


def settings_prior(settings: Sequence[SettingOnSet]) -> Prior:
    """Return what is believed where nothing is known of experiments like this one."""
    wanted_SS = covariance(settings, ACROSS_PAIRS) * _ACROSS_PAIRS_SD**2
    across_SR = low_rank(wanted_SS, rank=_NUM_FUNCTIONS)
    across_SS = across_SR @ across_SR.T
    shared_SS = covariance(settings, OF_ALL_PAIRS) * _OF_ALL_PAIRS_SD**2 + _OF_SETTING_SD**2 * np.eye(len(settings))
    own_SS = covariance(settings, WITHIN_PAIR) * _WITHIN_PAIR_SD**2
    return Prior(
        mean_S=set_means(settings),
        across_SR=across_SR,
        shared_SU=low_rank(shared_SS, rank=len(settings)),
        trusted_SK=np.zeros((len(settings), 0)),
        # What few functions cannot say of other pairs they must not deny of this one.
        own_SS=own_SS + (wanted_SS - across_SS) + _OF_TRIAL_SD**2 * np.eye(len(settings)),
        noise_sd=_NOISE_SD,
        across_SS=across_SS,
    )


def low_rank(covariance_SS: FloatArray, *, rank: int) -> FloatArray:
    """Return the factor (S, R) of the best approximation of a covariance by so many functions."""
    values, vectors = np.linalg.eigh(covariance_SS)
    kept = slice(-min(rank, len(values)), None)
    factor_SR: FloatArray = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    return factor_SR
