"""Measurement of how long observed values have been unchanged, by the clock of this process alone."""

import math
from collections.abc import Callable, Hashable, Mapping


class UnchangedTimes:
    """Measures for how long each of several named values has been unchanged.

    A value may be a time that another machine has written, because values are only compared with earlier values and
    never with the clock of this process. A name that is missing from an observation is forgotten.
    """

    def __init__(self, *, clock: Callable[[], float], max_step_seconds: float = math.inf) -> None:
        """Create an instance without observations.

        Args:
            clock: A function that returns the seconds of a monotonic clock.
            max_step_seconds: The longest time between two observations that is counted. If more time has passed, this
                process was probably suspended, and cannot know whether the values changed.
        """
        self._clock, self._max_step_seconds = clock, max_step_seconds
        self._values: dict[str, Hashable] = {}
        self._seconds: dict[str, float] = {}
        self._observed_at: float | None = None

    def __len__(self) -> int:
        return len(self._values)

    def observe(self, values: Mapping[str, Hashable]) -> None:
        """Record the values that exist now.

        The measurement starts from 0 for a name that is new or whose value has changed.

        Args:
            values: All values by name.
        """
        now = self._clock()
        elapsed = 0.0 if self._observed_at is None else min(now - self._observed_at, self._max_step_seconds)
        self._observed_at = now
        self._seconds = {
            name: self._seconds[name] + elapsed if name in self._values and self._values[name] == value else 0.0
            for name, value in values.items()
        }
        self._values = dict(values)

    def seconds(self, name: str) -> float:
        """Return for how many seconds the value of a name has been unchanged.

        The result is 0 if the last observation does not have the name.
        """
        return self._seconds.get(name, 0.0)

    def reset(self) -> None:
        """Forget all observations."""
        self._values, self._seconds, self._observed_at = {}, {}, None
