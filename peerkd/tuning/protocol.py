"""The interface of a tuner: ``ask`` for suggestions, ``tell`` observations, and read the choices.

The methods are named as in the ask-and-tell interface of Optuna. No type in this module contains test data, so a tuner
cannot see the data on which its choices are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from peerkd.arrays import FloatArray, IntArray
from peerkd.tuning.space import Space


class Suggestion(NamedTuple):
    """A trial that a tuner wants to be trained up to some epoch and evaluated on validation."""

    pair: int
    """Index of the pair in the space."""

    setting: int
    """Index of the setting in the settings of the space."""

    num_epochs: int
    """Number of epochs, from 1 to that of a whole trial. A trial that was observed earlier continues from there."""


class Observation(NamedTuple):
    """The result of a suggestion."""

    suggestion: Suggestion
    gain: float
    """Validation accuracy after these epochs minus that of the pre-trained student: a fraction. -1 if it diverged."""

    is_finite: bool = True
    """Whether the trial stayed finite. A trial that diverged has ended and must not be suggested again."""


class Tuner(Protocol):
    """A method that decides what to observe next and, at any time, which setting each pair should have."""

    def ask(self, num: int) -> Sequence[Suggestion]:
        """Return up to ``num`` new suggestions; none if the tuner wants no more.

        Several suggestions may be pending at the same time. Their observations may arrive in any order, or never.
        """
        ...

    def tell(self, observation: Observation) -> None:
        """Learn from an observation. Its suggestion may have been made before the tuner was restarted."""
        ...

    def choices(self) -> IntArray:
        """Return the best setting of each pair (Q,) given all observations, or ``NO_SETTING``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EarlierSweep:
    """An earlier experiment from which a tuner may learn. It contains only the validation gains of whole trials."""

    space: Space
    gains_QS: FloatArray
    """Validation gain of each whole trial: a fraction. NaN for a trial that was not run."""
