"""A tuner that runs scripts. A script yields the next measurements, given the results of earlier ones."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.tuning.rivals.known import Known
from peerkd.arrays import IntArray
from peerkd.tuning.protocol import Observation, Suggestion

Script: TypeAlias = Iterator[Sequence[Suggestion]]
"""An iterator over batches of measurements. All measurements of a batch must be done before the next batch is
requested. An empty batch ends the turn of the script, and another script continues."""


@dataclass
class _Turn:
    script: Script
    batch: Sequence[Suggestion] = ()


class Scripted:
    """A tuner that runs scripts in turns, each as far as its results allow.

    It never suggests a known measurement, so a restarted tuner that receives all observations continues where the last
    one stopped. While all scripts wait for results, it may have no suggestion.
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
        """Record an observation; see ``Tuner``."""
        self._known.add(observation)

    def choices(self) -> IntArray:
        """Return the choice of each pair, of shape (Q,); see ``Tuner``."""
        return self._choose(self._known)

    def _go_on(self) -> bool:
        """Continue scripts until one requests a measurement. Return False if none does."""
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
