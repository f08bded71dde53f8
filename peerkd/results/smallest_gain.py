"""The smallest gain that a validation set can show.

The rule of ``peerkd.results.advice`` counts a gain only if it exceeds its noise. The noise is smallest where only one
training competes and no sample becomes wrong, so the gain of such a training is a lower bound for all others.
"""

import math
from collections.abc import Mapping

from peerkd.results.advice import Prediction
from peerkd.results.schema import CORRECT_BITS
from peerkd.results.validation_noise import Columns, gain_covariance
from peerkd.study import ties
from peerkd.study.objective import Objective
from peerkd.study.splits import NumSamples


def smallest_gain(objective: Objective, validation: NumSamples, accuracies: Mapping[str, float]) -> float | None:
    """Return the smallest gain on validation that can exceed its noise, as a fraction. None if no gain can.

    It is the gain of a single training that makes some samples right, and none wrong. The gain of a training that makes
    samples wrong too, or that is the best of many, must be larger.

    Args:
        objective: The objective of the choice.
        validation: The sizes of the student's validation sets.
        accuracies: The accuracy of the unchanged student, ``global`` and ``own``, as fractions.
    """
    counted = {}
    if objective.own_weight < 1:
        counted["global"] = validation.global_set
    if objective.own_weight > 0:
        counted["own"] = validation.own_set
    num_samples, best = min(counted.values()), max(accuracies[scope] for scope in counted)
    for num_right in range(1, num_samples + 1):
        gain = num_right / num_samples
        if ties.is_above(best + gain, 1):
            return None
        columns: Columns = {
            **{f"validation_{scope}_accuracy_before": [accuracies[scope]] for scope in counted},
            **{f"validation_{scope}_accuracy_after": [accuracies[scope] + gain] for scope in counted},
            "validation_positive_flips": [gain],
            "validation_negative_flips": [0.0],
            CORRECT_BITS["validation"]: None,
        }
        variance = gain_covariance(columns, objective, validation=validation).item()
        if Prediction(gain, math.sqrt(variance), 0.0).is_above_noise:
            return gain
    return None
