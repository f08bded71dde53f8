"""How a tuner is spoken to. Nothing here has a place for test data: a choice cannot see what it is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.tuning.space import Space


class Ask(NamedTuple):
    """A measurement that a tuner wants: a trial, done up to some epoch and judged on validation."""

    pair: int
    """Place in the space."""

    setting: int
    """Place in the settings of the space."""

    num_epochs: int
    """From 1 to that of a whole trial. A trial that was measured earlier goes on from there."""


class Measurement(NamedTuple):
    """What came of an ask."""

    ask: Ask
    gain: float
    """Validation accuracy after these epochs minus that of the pre-trained student: a fraction. -1 if it diverged."""

    is_finite: bool = True
    """False if the trial diverged. It ended with this measurement, and must not be asked for again."""


class Tuner(Protocol):
    """Decides what to measure next and, whenever it is asked to, which setting each pair should have."""

    def ask(self, num: int) -> Sequence[Ask]:
        """Return up to ``num`` measurements to make next, none asked for before; none if it wants no more.

        Several may be under way at once: it is not said when, or whether, an ask is answered.
        """
        ...

    def tell(self, measurement: Measurement) -> None:
        """Take in what came of an ask, or of one that an earlier life of this tuner made."""
        ...

    def choices(self) -> IntArray:
        """Return for each pair (Q,) the setting that it should have by all that is known, or ``NO_SETTING``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Earlier:
    """An earlier experiment that a tuner may learn from, whole trials and validation only."""

    space: Space
    gains_QS: FloatArray
    """Gain on validation of each whole trial: a fraction. NaN where none was made."""
