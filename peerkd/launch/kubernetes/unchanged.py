"""Times for which many things have been unchanged, by this process's own clock alone."""

import math
from collections.abc import Callable, Hashable, Mapping


class Unchanged:
    """Sums the time between looks through which a thing was seen and had the same value.

    No time that somebody else has written is compared with this clock. Holds a line for each thing of the last look.
    """

    def __init__(self, *, clock: Callable[[], float], max_step_seconds: float = math.inf) -> None:
        """Begin with nothing seen.

        Args:
            clock: Seconds that never go back.
            max_step_seconds: What counts at most from one look to the next: an observer that was itself held up has
                seen nothing meanwhile.
        """
        self._clock, self._max_step_seconds = clock, max_step_seconds
        self._values: dict[str, Hashable] = {}
        self._seconds: dict[str, float] = {}
        self._looked_at: float | None = None

    def __len__(self) -> int:
        return len(self._values)

    def see(self, values: Mapping[str, Hashable]) -> None:
        """Take a look: all things that there are now, by name, with their values."""
        now = self._clock()
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, self._max_step_seconds)
        self._looked_at = now
        self._seconds = {
            name: self._seconds[name] + elapsed if name in self._values and self._values[name] == value else 0.0
            for name, value in values.items()
        }
        self._values = dict(values)

    def seconds(self, name: str) -> float:
        """Return for how long a thing has been seen with the value of the last look; 0 if it is not there."""
        return self._seconds.get(name, 0.0)

    def forget(self) -> None:
        """Begin anew: what was seen so far says nothing about now."""
        self._values, self._seconds, self._looked_at = {}, {}, None
