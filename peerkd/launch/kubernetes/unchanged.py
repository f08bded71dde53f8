"""The times for which values have been unchanged, measured only by this process's own clock."""

import math
from collections.abc import Callable, Hashable, Mapping


class UnchangedTimes:
    """The sum, for each name, of the times between observations through which its value was the same.

    A time that another process has written is never compared with this clock. Only names of the last observation take
    memory.
    """

    def __init__(self, *, clock: Callable[[], float], max_step_seconds: float = math.inf) -> None:
        """Start without any observation.

        Args:
            clock: Returns the seconds of a monotonic clock.
            max_step_seconds: The most that counts between two observations. An observer that was itself suspended for
                longer has observed nothing in the meantime.
        """
        self._clock, self._max_step_seconds = clock, max_step_seconds
        self._values: dict[str, Hashable] = {}
        self._seconds: dict[str, float] = {}
        self._observed_at: float | None = None

    def __len__(self) -> int:
        return len(self._values)

    def observe(self, values: Mapping[str, Hashable]) -> None:
        """Record all values that exist now, by name."""
        now = self._clock()
        elapsed = 0.0 if self._observed_at is None else min(now - self._observed_at, self._max_step_seconds)
        self._observed_at = now
        self._seconds = {
            name: self._seconds[name] + elapsed if name in self._values and self._values[name] == value else 0.0
            for name, value in values.items()
        }
        self._values = dict(values)

    def seconds(self, name: str) -> float:
        """Return for how many seconds a value has been unchanged; 0 if the last observation lacks the name."""
        return self._seconds.get(name, 0.0)

    def reset(self) -> None:
        """Forget all observations."""
        self._values, self._seconds, self._observed_at = {}, {}, None
