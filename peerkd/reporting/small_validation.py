"""The limit that small validation sets put on what a study can find, in words."""

from collections.abc import Sequence
from typing import Final

from peerkd.reporting.facts import ExperimentFacts
from peerkd.reporting.wording import magnitude
from peerkd.results.smallest_gain import smallest_gain
from peerkd.study.objective import Objective
from peerkd.wording import plural

_LARGE_GAIN: Final = 0.02
"""Validation sets are small if they cannot show this gain, which is as large as what a good teacher often brings."""


def small_validation(facts: ExperimentFacts, objective: Objective) -> str:
    """Return a sentence with the smallest gain that validation can show. Empty unless the validation sets are small.

    Args:
        facts: The facts about the experiment.
        objective: The objective by which the study chooses.
    """
    students = [
        (sets.validation, {"global": peer.validation_global_accuracy, "own": peer.validation_own_accuracy})
        for peer, sets in zip(facts.peers, facts.evaluation_sets, strict=True)
        if peer.validation_global_accuracy is not None and peer.validation_own_accuracy is not None
    ]
    gains = [smallest_gain(objective, sizes, accuracies) for sizes, accuracies in students]
    found = min((gain for gain in gains if gain is not None), default=None)
    if not gains or (found is not None and found <= _LARGE_GAIN):
        return ""
    parts = []
    if objective.own_weight < 1:
        parts.append(_samples([sizes.global_set for sizes, _ in students]))
    if objective.own_weight > 0:
        parts.append(f"{_samples([sizes.own_set for sizes, _ in students])} of each student's own")
    subject = f"Validation is small ({', and '.join(parts)})"
    if found is None:
        return f"{subject}: no gain can exceed its noise."
    return (
        f"{subject}: no gain below {magnitude(found)} points exceeds its noise, and a training that also makes samples "
        "wrong, or is the best of many, needs a larger one."
    )


def _samples(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return plural(high, "sample") if low == high else f"{low:,} to {high:,} samples"
