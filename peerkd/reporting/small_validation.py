"""The limit that small validation sets put on what a study can find, in words."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.wording import magnitude
from peerkd.results.smallest_gain import smallest_gain
from peerkd.study.objective import Objective
from peerkd.wording import plural

_LARGE_GAIN: Final = 0.02
"""Validation sets are small if they cannot show this gain, which is as large as what a good teacher often brings."""


def small_validation(facts: ExperimentFacts, objective: Objective) -> str:
    """Return a sentence with the smallest gain that validation can show. Empty unless the validation sets are small.

    They are small if even a training that makes no sample wrong must gain more than ``_LARGE_GAIN``.

    Args:
        facts: The facts about the experiment.
        objective: The objective by which the study chooses.
    """
    found = _smallest(facts, objective)
    if not found.is_known or (found.gain is not None and found.gain <= _LARGE_GAIN):
        return ""
    return f"Validation is small ({found.samples}): {_limit(found.gain)}"


def limit_of_validation(facts: ExperimentFacts, objective: Objective) -> str:
    """Return a sentence with the smallest gain that validation can show, whatever its size. Empty if it is unknown."""
    found = _smallest(facts, objective)
    return f"On validation ({found.samples}), {_limit(found.gain)}" if found.is_known else ""


class _Smallest(NamedTuple):
    """The smallest gain that can exceed its noise for some student. None: no gain can."""

    gain: float | None
    samples: str
    """The sizes of the sets in words."""

    is_known: bool


def _smallest(facts: ExperimentFacts, objective: Objective) -> _Smallest:
    students = [
        (sets.validation, {"global": peer.validation_global_accuracy, "own": peer.validation_own_accuracy})
        for peer, sets in zip(facts.peers, facts.evaluation_sets, strict=True)
        if peer.validation_global_accuracy is not None and peer.validation_own_accuracy is not None
    ]
    gains = [smallest_gain(objective, sizes, accuracies) for sizes, accuracies in students]
    found = min((gain for gain in gains if gain is not None), default=None)
    if not gains:
        return _Smallest(None, "", is_known=False)
    parts = []
    if objective.own_weight < 1:
        parts.append(_samples([sizes.global_set for sizes, _ in students]))
    if objective.own_weight > 0:
        parts.append(f"{_samples([sizes.own_set for sizes, _ in students])} of each student's own")
    return _Smallest(found, ", and ".join(parts), is_known=True)


def _limit(gain: float | None) -> str:
    if gain is None:
        return "no gain can exceed its noise."
    return (
        f"no gain below {magnitude(gain)} points exceeds its noise, and a training that also makes samples "
        "wrong, or is the best of many, needs a larger one."
    )


def _samples(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return plural(high, "sample") if low == high else f"{low:,} to {high:,} samples"
