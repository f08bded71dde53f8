"""A tuner that works through scripts: what to measure next follows from what came of that before."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.tuning.rivals.known import Known
from peerkd.results.arrays import IntArray
from peerkd.tuning.protocol import Observation, Suggestion

Script: TypeAlias = Iterator[Sequence[Suggestion]]
"""Yields what must be measured before it can go on. An empty batch ends its turn; then other scripts have theirs."""


@dataclass
class _Turn:
    script: Script
    batch: Sequence[Suggestion] = ()


class Scripted:
    """Works through scripts in turns, each as far as its answers allow.

    Scripts ask for nothing that is known, so that a new life that is told all measurements goes on where the last one
    was. Where all wait for answers that are under way, there may be nothing to ask for until these are told.
    """

    def __init__(
        self, known: Known, scripts: Iterable[Script], *, choose: Callable[[Known], IntArray] = Known.choices
    ) -> None:
        self._known, self._choose = known, choose
        self._waiting = deque(scripts)
        self._turns: list[_Turn] = []
        self._queue: deque[Suggestion] = deque()

    def ask(self, num: int) -> Sequence[Suggestion]:
        """Return up to ``num`` measurements to make next; see ``Tuner``."""
        asks: list[Suggestion] = []
        while len(asks) < num and (self._queue or self._go_on()):
            ask = self._queue.popleft()
            if ask not in self._known:
                asks.append(ask)
        return asks

    def tell(self, observation: Observation) -> None:
        """Take in what came of an ask; see ``Tuner``."""
        self._known.add(observation)

    def choices(self) -> IntArray:
        """Return for each pair (Q,) what it should have; see ``Tuner``."""
        return self._choose(self._known)

    def _go_on(self) -> bool:
        """Let scripts go on until one has something to ask for; return whether one has."""
        while True:
            turn = next((turn for turn in self._turns if all(ask in self._known for ask in turn.batch)), None)
            if turn is None:
                if not self._waiting:
                    return False
                turn = _Turn(self._waiting.popleft())
                self._turns.append(turn)
            batch = next(turn.script, None)
            if batch:
                turn.batch = batch
                self._queue.extend(ask for ask in batch if ask not in self._known)
                if self._queue:
                    return True
            else:
                self._turns.remove(turn)
                if batch is not None:
                    self._waiting.append(turn.script)
