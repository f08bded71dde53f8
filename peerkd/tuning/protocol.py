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
    """The index of the pair in the space."""

    setting: int
    """The index of a setting in ``Space.settings``. Higher indices denote the controls in ``Space.controls``."""

    num_epochs: int
    """The number of epochs up to which to train. It is at most ``Space.num_epochs``.

    A trial that was trained before continues from where it ended.
    """


class Observation(NamedTuple):
    """The result of a suggestion."""

    suggestion: Suggestion
    gain: float
    """The gain on validation data after these epochs, as a fraction; -1 if the trial diverged."""

    is_finite: bool = True
    """Whether the trial stayed finite. A trial that diverged has ended and must not be suggested again."""


class Tuner(Protocol):
    """A method that decides which trials to run next and, at any time, which setting each pair should have."""

    def ask(self, num: int) -> Sequence[Suggestion]:
        """Return up to ``num`` new suggestions; none if the tuner wants no more.

        Several suggestions may be pending at the same time. Their observations may arrive in any order, or never.
        """
        ...

    def tell(self, observation: Observation) -> None:
        """Learn from an observation. Its suggestion may have been made before the tuner was restarted."""
        ...

    def choices(self) -> IntArray:
        """Return the best setting of each pair given all observations, of shape (Q,).

        It is ``NO_SETTING`` where the student should stay unchanged.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EarlierSweep:
    """An earlier experiment from which a tuner may learn. It contains only the validation gains of whole trials."""

    space: Space
    gains_QS: FloatArray
    """The gain of each whole trial on validation data, as a fraction; NaN for a trial that was not run."""
