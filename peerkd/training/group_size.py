"""The number of students to train side by side, which is measured on this machine and changes no result."""

import time
from collections.abc import Callable
from typing import Final

from peerkd.training.inputs import EngineChoice

SIZES: Final = (1, 2, 4, 8, 16, 32)
_NUM_REPETITIONS: Final = 3
_MAX_SECONDS: Final = 1.0

_MAX_UNMEASURED: Final = 16
"""The maximum number of students that are trained together without a measurement.

A study that finishes within seconds has no larger groups, so no time is lost there on measurements."""


class GroupSizes:
    """Measures how many students train fastest side by side, once for each kind of training, and keeps the result."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._best: dict[str, int] = {}
        self._choices: list[EngineChoice] = []

    def best(self, kind: str, train: Callable[[int], None], *, num_students: int) -> int:
        """Return how many students of a kind to train together.

        Args:
            kind: The kind of training, on which the time depends. It appears in the log.
            train: A function that trains a number of students for a step or two and discards them.
            num_students: The number of students to train.
        """
        if kind not in self._best:
            if num_students <= _MAX_UNMEASURED:
                return num_students
            self._best[kind] = self._measure(kind, train)
        return self._best[kind]

    def take_choices(self) -> list[EngineChoice]:
        """Return, for the log, the group sizes that were chosen since the last call."""
        choices, self._choices = self._choices, []
        return choices

    def _measure(self, kind: str, train: Callable[[int], None]) -> int:
        seconds: dict[int, float] = {}
        begun = self._clock()
        for _ in range(1 + _NUM_REPETITIONS):
            for size in SIZES:
                started = self._clock()
                train(size)
                taken = (self._clock() - started) / size
                # The first repetition is a warm-up. It counts only if no time is left for another one.
                seconds[size] = min(taken, seconds.get(size, taken))
            if self._clock() - begun > _MAX_SECONDS:
                break
        best = min(seconds, key=lambda size: seconds[size])
        gain = seconds[1] / seconds[best]
        self._choices.append(
            EngineChoice(kind, f"{kind}: {best} students at once, measured {gain:.1f} times as fast as one")
        )
        return best
