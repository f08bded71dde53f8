"""The temperature of a student whose loss sets it, and the facts of a step by which it is set.

Shape suffixes: B = batch, K = classes.
"""

import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT
from peerkd.losses.pairs.temperature_rule import State, StepFacts, TemperatureRule
from peerkd.losses.pairs.term import DistillationTerm


class OwnTemperature:
    """The temperature of one student, with the state of the rule that sets it."""

    def __init__(self, term: DistillationTerm, state: State = ()) -> None:
        """Begin with a state, which ``state`` has returned after earlier steps. Empty: no step has been taken.

        Raises:
            ValueError: If the loss does not set its temperature, or the state has another length than its states.
        """
        if term.loss.temperature_rule is None:
            raise ValueError(f"term must have a loss that sets its temperature, got {term.loss.name}.")
        self.rule: TemperatureRule = term.loss.temperature_rule
        self._parameters = term.parameters
        first = self.rule.start(**self._parameters)
        if state and len(state) != len(first):
            raise ValueError(f"state must have {len(first)} numbers for the loss {term.loss.name}, got {len(state)}.")
        self.state: State = state or first

    @property
    def value(self) -> float:
        """T of the next step."""
        return self.rule.temperature(self.state, **self._parameters)

    def step(self, facts: StepFacts) -> None:
        """Set the temperature of the next step, given the facts of the step that has been taken."""
        self.state = self.rule.next_state(self.state, facts, **self._parameters)


def own_temperature(term: DistillationTerm, *, distillation_weight: float, state: State = ()) -> OwnTemperature | None:
    """Return the temperature of a student; None if its loss does not set it, or if it has no distillation term."""
    if term.loss.temperature_rule is None or distillation_weight == 0:
        return None
    return OwnTemperature(term, state)


def cross_entropy_gap(
    student_logits_BK: Tensor, reference_logits_BK: Tensor, labels_B: Tensor, *, known_K: Tensor | None = None
) -> float:
    """Return the mean cross entropy of the student on a batch, minus that of the reference logits, both at T = 1.

    The call waits for the device.

    Args:
        student_logits_BK: The scores of the student.
        reference_logits_BK: The scores that it is compared with.
        labels_B: The classes.
        known_K: Whether the student knows each class. Samples of other classes are left out, and the reference logits
            are restricted to the known classes. If there is no sample, the gap is 0.
    """
    if known_K is not None:
        reference_logits_BK = reference_logits_BK.masked_fill(~known_K, MISSING_CLASS_LOGIT)
        is_known_B = known_K[labels_B]
        labels_B = labels_B[is_known_B]
        student_logits_BK, reference_logits_BK = student_logits_BK[is_known_B], reference_logits_BK[is_known_B]
        if not len(labels_B):
            return 0.0
    student = F.cross_entropy(student_logits_BK.detach(), labels_B)
    return float(student - F.cross_entropy(reference_logits_BK, labels_B))
