"""The results of a sweep in the form that the script of the page reads: names as JSON, and numbers as base64 arrays.

Arrays are little-endian. The script rounds 32-bit floats to 8 decimals. This restores every difference of accuracies
exactly if they are measured on at most ten million samples.

Shape suffix: P = peers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from peerkd.arrays import FloatArray, IntArray
from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.findings import SweepFindings
from peerkd.reporting.mean_surface import surface_data
from peerkd.reporting.packed import packed
from peerkd.results.importance import importance
from peerkd.results.pair_advice import DECISIONS

_NO_CLASS: Final = -32768
"""The number in place of a change that is unknown: the class has no test samples, or the pair has no trial."""

_MAX_CLASS_VALUES: Final = 2_000_000
"""The number of accuracies by class above which a page omits them."""


def study_data(findings: SweepFindings, facts: ExperimentFacts) -> dict[str, Any]:
    """Return what the script needs to draw every pair and setting, as JSON values."""
    results, advice = findings.results, findings.advice
    count_type = "<u2" if facts.num_test_samples < 2**16 else "<u4"
    predicted = {"gain": advice.gain, "advantage": advice.advantage}
    # The reader first sees the pair that should distil with the largest predicted gain, or else the first pair.
    pairs = advice.pairs_to_distil() or [(int(s), int(t)) for s, t in np.argwhere(findings.choice.chosen >= 0)[:1]]
    # If few of all pairs were tried, matrices have a number for each of these pairs instead of a square.
    tried = None if facts.config.sweep.num_partners is None else facts.config.pairs().as_arrays()

    def of_pairs(values_PP: NDArray[Any]) -> NDArray[Any]:
        return values_PP if tried is None else values_PP[tried]

    return {
        "tried": None
        if tried is None
        else dict(zip(("student", "teacher"), (packed(each, "<u2") for each in tried), strict=True)),
        "peers": facts.names,
        "scope": findings.scope,
        "transfer_sets": findings.transfer_sets,
        "num_test_samples": facts.num_test_samples,
        "class_names": facts.class_names,
        "settings": results.settings,
        "rows": {
            "student": packed(results.student, "<u2"),
            "teacher": packed(results.teacher, "<i2"),
            "setting": packed(results.setting, "<u2"),
            "right": packed(results.num_right, count_type),
            "wrong": packed(results.num_wrong, count_type),
            "own": packed(results.own_gain, "<f4"),
            "forgetting": packed(results.forgetting, "<f4"),
            "from_teacher": packed(results.gain_from_teacher, "<f4"),
        },
        "surface": surface_data(findings, num_peers=facts.num_peers),
        "roles": {
            role: {name: packed(of_pairs(rows_PP), "<i4") for name, rows_PP in by_set.items()}
            for role, by_set in results.roles.items()
        },
        "decisions": packed(of_pairs(_decision_numbers(advice.decision)), "<u1"),
        "predicted": {
            f"{name}{suffix}": packed(of_pairs(values_PP), "<f4")
            for name, each in predicted.items()
            for suffix, values_PP in (("", each.value), ("_low", each.low), ("_high", each.high))
        },
        "first_pair": pairs[0],
        "classes": _classes({role: of_pairs(each) for role, each in results.class_changes.items()}),
        "curves": {
            f"{student},{teacher}": {
                "best setting" if role == "chosen" else role: [
                    None if value is None else round(value, 5) for value in values
                ]
                for role, values in by_role.items()
            }
            for (student, teacher), by_role in results.curves.items()
        },
        "moved": {name: list(num_bytes) for name, num_bytes in facts.bytes_to_one_student.items()},
    }


def importance_of_dimensions(findings: SweepFindings) -> dict[str, float]:
    """Return the share of the variance of gains that each dimension explains alone, largest share first.

    The gains are those of all distillations. The student and the teacher are dimensions, too. If the shares sum to less
    than 1, interactions of dimensions and noise explain the rest of the variance. They sum to more than 1 if dimensions
    explain the same variance, because not all combinations of their values were tried.
    """
    results = findings.results
    is_distillation = np.array([not each.is_control for each in results.settings], dtype=np.bool_)[results.setting]
    settings = [results.settings[index] for index in results.setting[is_distillation]]
    dimensions: dict[str, Sequence[object]] = {
        "student": results.student[is_distillation].tolist(),
        "teacher": results.teacher[is_distillation].tolist(),
        **{
            name.replace("_", " "): [getattr(setting, name) for setting in settings]
            for name in ("transfer_set", "temperature", "alpha", *findings.default.dimensions)
        },
    }
    shares = importance(results.gain[is_distillation], dimensions)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _decision_numbers(decision_PP: NDArray[np.str_]) -> IntArray:
    """Return 1 plus the index of each decision in ``DECISIONS``, and 0 for a pair without a decision."""
    numbers_PP = np.zeros(decision_PP.shape, dtype=np.int64)
    for index, name in enumerate(DECISIONS):
        numbers_PP[decision_PP == name] = index + 1
    return numbers_PP


def _classes(changes: Mapping[str, FloatArray]) -> dict[str, dict[str, str]] | None:
    """Return the changes of accuracy by class, or None if the page would become too large.

    The changes are 16-bit numbers in hundredths of points.
    """
    if sum(each.size for each in changes.values()) > _MAX_CLASS_VALUES:
        return None
    return {
        role: packed(np.where(np.isnan(each), _NO_CLASS, np.rint(1e4 * np.nan_to_num(each))), "<i2")
        for role, each in changes.items()
    }
