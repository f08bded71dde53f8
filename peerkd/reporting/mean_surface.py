"""The surface of a sweep: the mean over pairs of each measure under each setting.

Shape suffixes: N = trials, P = peers, S = settings.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.reporting.findings import SweepFindings
from peerkd.reporting.packed import packed
from peerkd.reporting.trial_results import TrialSetting
from peerkd.results.intervals import mean_over_pairs
from peerkd.results.pair_rows import NO_ROW
from peerkd.study.defaults import DEFAULT_ALPHA, DEFAULT_TEMPERATURE

_TYPES: Final = {"value": "<f8", "low": "<f4", "high": "<f4", "num": "<u4"}
"""The type of each array of ``means_of_settings`` in a page."""


def surface_data(findings: SweepFindings, *, num_peers: int) -> dict[str, Any]:
    """Return the surface as JSON values, with one number for each setting in each array."""
    settings = findings.results.settings
    chosen_PP = findings.results.roles["chosen"][""]
    chosen_N = chosen_PP[chosen_PP != NO_ROW]
    return {
        "is_default": packed([_is_default(setting, findings) for setting in settings], "<u1"),
        "is_at_edge": packed([_is_at_edge(setting, findings) for setting in settings], "<u1"),
        "num_pairs_that_choose": packed(
            np.bincount(findings.results.setting[chosen_N], minlength=len(settings)), _TYPES["num"]
        ),
        "measures": {
            measure: {name: packed(values_S, _TYPES[name]) for name, values_S in arrays.items()}
            for measure, arrays in means_of_settings(findings, num_peers=num_peers).items()
        },
    }


def means_of_settings(findings: SweepFindings, *, num_peers: int) -> dict[str, dict[str, FloatArray | IntArray]]:
    """Return the mean of each setting over pairs by measure, as arrays of shape (num_settings,).

    ``value`` is the mean, ``num`` the number of pairs, and ``low`` and ``high`` are the bounds of the 95 % bootstrap
    interval in which the peers are drawn. The mean is NaN for a control, and for a setting without pairs. The bounds
    are also NaN if there are too few peers.
    """
    results = findings.results
    num_settings = len(results.settings)
    is_finite_N = ~np.isnan(results.own_gain)
    measures = {
        "global": np.where(is_finite_N, results.global_gain, np.nan),
        "own": results.own_gain,
        "forgetting": results.forgetting,
        "teacher": results.gain_from_teacher,
    }
    means: dict[str, dict[str, FloatArray | IntArray]] = {
        name: {
            **{array: np.full(num_settings, np.nan) for array in ("value", "low", "high")},
            "num": np.zeros(num_settings, dtype=np.int64),
        }
        for name in measures
    }
    for index, rows in _rows_of_settings(findings):
        if results.settings[index].is_control:
            continue
        for name, values_N in measures.items():
            known = values_N[rows][~np.isnan(values_N[rows])]
            if not known.size:
                continue
            means[name]["value"][index], means[name]["num"][index] = known.mean(), known.size
            if findings.has_intervals:
                values_PP = np.full((num_peers, num_peers), np.nan)
                values_PP[results.student[rows], results.teacher[rows]] = values_N[rows]
                estimate = mean_over_pairs(values_PP)
                means[name]["low"][index], means[name]["high"][index] = estimate.low, estimate.high
    return means


def _rows_of_settings(findings: SweepFindings) -> Iterator[tuple[int, IntArray]]:
    """Yield the index of each setting, and the rows of its trials."""
    results = findings.results
    order = np.argsort(results.setting, kind="stable")
    starts = np.searchsorted(results.setting[order], np.arange(len(results.settings) + 1))
    for index in range(len(results.settings)):
        yield index, order[starts[index] : starts[index + 1]]


def _is_default(setting: TrialSetting, findings: SweepFindings) -> bool:
    """Return whether a setting is the untuned default. A value without effect agrees with any default."""
    default = findings.default
    return (
        not setting.is_control
        and setting.transfer_set == default.transfer_set
        and setting.temperature in (None, DEFAULT_TEMPERATURE)
        and setting.alpha in (None, DEFAULT_ALPHA)
        and (setting.learning_rate, setting.loss, setting.target)
        == (default.learning_rate, default.loss, default.target)
    )


def _is_at_edge(setting: TrialSetting, findings: SweepFindings) -> bool:
    """Return whether a setting is at an edge of the grid that many pairs choose."""
    return any(
        getattr(setting, edge.dimension.removesuffix("s")) == edge.value
        and edge.loss in (None, setting.loss)
        and edge.target in (None, setting.target)
        for edge in findings.edges
    )
