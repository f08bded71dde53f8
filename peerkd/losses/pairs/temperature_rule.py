"""The declaration of a rule by which a loss sets its own temperature, step by step, so that nobody tunes it.

A rule has a state, which is a few numbers for each student, and changes this state after every step of the training.
The functions of a rule compute with numbers and not with tensors. All engines therefore get the same temperature, to
the last bit, from the same measurements of a step.
"""

from collections.abc import Callable
from typing import NamedTuple

State = tuple[float, ...]


class StepFacts(NamedTuple):
    """Measurements of a step that has been taken, from which a rule sets the next temperature."""

    progress: float
    """The share of the training that has been done, above 0; 1 after the last step."""

    learning_rate: float
    """The learning rate of the step."""

    cross_entropy_gap: float
    """The mean cross entropy of the student on the batch, minus the mean cross entropy of the reference logits. 0 if
    the rule does not need this number."""

    temperature_slope: float
    """The derivative with respect to T of the loss that the student minimises: the weighted sum of D and the cross
    entropy. 0 if the rule does not need this number."""


class TemperatureRule(NamedTuple):
    """A rule that sets T. All functions take the loss's hyper-parameters as keyword arguments."""

    start: Callable[..., State]
    """``start(...)`` returns the state before the first step."""

    temperature: Callable[..., float]
    """``temperature(state, ...)`` returns T of the next step, above 0."""

    next_state: Callable[..., State]
    """``next_state(state, facts, ...)`` returns the state after a step. If a number in ``facts`` is not finite, the
    training has diverged: the function must then not raise an error, and the temperature may become NaN."""

    formula: str
    """T as a line of plain text, which begins with ``T =``."""

    tex: str
    """The formula of T in TeX."""

    needs_gap: bool = False
    """Whether the rule needs ``StepFacts.cross_entropy_gap``. If so, the loss excludes transfer sets without labels."""

    needs_slope: bool = False
    """Whether the rule needs ``StepFacts.temperature_slope``."""
