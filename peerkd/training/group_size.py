"""How many students are best trained at once on this machine: measured, since it changes no number but the time."""

import time
from collections.abc import Callable
from typing import Final

from peerkd.training.inputs import WayTaken

SIZES: Final = (1, 2, 4, 8, 16, 32)
_NUM_ROUNDS: Final = 3
_MAX_SECONDS: Final = 1.0

_NUM_NOT_WORTH_IT: Final = 16
"""So few students are trained at once, unless it was measured: a study that is over in seconds has no more of them."""


class GroupSizes:
    """The best size of a group for each kind of training, measured when it is first asked for with many to train."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._best: dict[str, int] = {}
        self._news: list[WayTaken] = []

    def best(self, kind: str, train: Callable[[int], None], *, num_students: int) -> int:
        """Return how many students of a kind to train at once.

        Args:
            kind: What the time depends on, for people too.
            train: Trains so many students for a step or two and forgets them.
            num_students: That there are to train.
        """
        if kind not in self._best:
            if num_students <= _NUM_NOT_WORTH_IT:
                return num_students
            self._best[kind] = self._measure(kind, train)
        return self._best[kind]

    def read_news(self) -> list[WayTaken]:
        """Return what was measured and nobody has read yet."""
        news, self._news = self._news, []
        return news

    def _measure(self, kind: str, train: Callable[[int], None]) -> int:
        seconds: dict[int, float] = {}
        begun = self._clock()
        for _ in range(1 + _NUM_ROUNDS):
            for size in SIZES:
                started = self._clock()
                train(size)
                taken = (self._clock() - started) / size
                # The first round warms up, but counts where there is time for no other.
                seconds[size] = min(taken, seconds.get(size, taken))
            if self._clock() - begun > _MAX_SECONDS:
                break
        best = min(seconds, key=lambda size: seconds[size])
        gain = seconds[1] / seconds[best]
        self._news.append(WayTaken(kind, f"{kind}: {best} students at once, measured {gain:.1f} times as fast as one"))
        return best
