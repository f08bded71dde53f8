"""The temperature of a student whose loss sets T itself.

Some losses compute T from a gap: the cross entropy of the student with the labels, minus the cross entropy of the
reference logits, with which the student is compared.

Shape suffixes: B = batch, K = classes.
"""

import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT
from peerkd.losses.pairs.temperature_rule import State, StepFacts, TemperatureRule
from peerkd.losses.pairs.term import DistillationTerm


class OwnTemperature:
    """The temperature of one student whose loss sets T itself. It may change after every step."""

    def __init__(self, term: DistillationTerm, state: State = ()) -> None:
        """Begin with the first temperature of the loss, or continue from an earlier state.

        Args:
            term: The distillation term, whose loss must set its temperature itself.
            state: The attribute ``state`` of an earlier object, after some steps. Empty means that no step has been
                taken.

        Raises:
            ValueError: If the loss does not set its temperature itself, or ``state`` has a wrong number of values.
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
        """Set the temperature of the next step, given measurements of the step that has just been taken."""
        self.state = self.rule.next_state(self.state, facts, **self._parameters)


def own_temperature(term: DistillationTerm, *, distillation_weight: float, state: State = ()) -> OwnTemperature | None:
    """Return the temperature of a student if the loss sets it, else None.

    Args:
        term: The distillation term, with its loss.
        distillation_weight: The weight of the term. If it is 0, the result is None, because no temperature is needed.
        state: The state of the temperature after earlier steps. Empty means that no step has been taken.
    """
    if term.loss.temperature_rule is None or distillation_weight == 0:
        return None
    return OwnTemperature(term, state)


def cross_entropy_gap(
    student_logits_BK: Tensor, reference_logits_BK: Tensor, labels_B: Tensor, *, known_K: Tensor | None = None
) -> float:
    """Return the mean cross entropy of the student on a batch, minus that of the reference logits, both at T = 1.

    The call waits for the device.

    Args:
        student_logits_BK: The logits of the student.
        reference_logits_BK: The logits with which the student is compared.
        labels_B: The classes of the samples.
        known_K: Whether the student knows each class. The gap is then computed on the samples of known classes, with
            the reference logits of known classes; it is 0 if the batch has no such sample. None means that the student
            knows all classes.
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
