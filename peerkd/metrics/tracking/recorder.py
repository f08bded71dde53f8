"""The recorder that passes the measurements of a stage on to sinks, from a thread of its own.

A slow server therefore slows no training. A sink that fails is left out from then on, with one warning.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from peerkd.metrics import names
from peerkd.metrics.names import Metric
from peerkd.metrics.progress import print_line
from peerkd.metrics.tracking.sinks import Sink, TrackedRun, open_sink
from peerkd.wording import plural

_CURVES: Final = frozenset({names.TRIALS_DONE, names.EPOCHS_DONE, names.LOSS, names.ACCURACY, names.DIVERGED})

_MAX_WAITING: Final = 10_000
"""The number of values that wait for a slow sink. Further values are dropped, but not the last value of each curve and
the summary, which are kept until the end."""


class _Scalar(NamedTuple):
    name: str
    value: float
    step: int


class TrackingRecorder:
    """A recorder that gives each curve at most one point in ``interval_seconds``, and its last value at the end."""

    def __init__(
        self,
        run: TrackedRun,
        sinks: Sequence[str],
        *,
        interval_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        open_: Callable[[str, TrackedRun], Sink] = open_sink,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self._run, self._interval_seconds, self._clock, self._open = run, interval_seconds, clock, open_
        self._lock = threading.Lock()
        self._step = 0
        self._totals: dict[str, float] = {}
        self._sent_at: dict[str, float] = {}
        self._unsent: dict[str, _Scalar] = {}
        self._summary: dict[str, float] = {}
        self._refused: set[str] = set()
        """The curves whose last value did not fit in the queue. This value is in ``_unsent``."""
        self._num_dropped = 0
        self._queue: queue.Queue[_Scalar | Mapping[str, float] | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._pass_on, args=(tuple(sinks),), daemon=True, name="tracking")
        self._thread.start()

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Add the value of a gauge to its curve."""
        if metric not in _CURVES:
            return
        with self._lock:
            name = "/".join((self._run.stage, metric.name.removeprefix("peerkd_"), *labels.values()))
            scalar = _Scalar(name, value, self._step)
            if name in self._refused:
                # The new value takes the place of one for which the queue had no room.
                self._refused.remove(name)
                self._num_dropped += 1
            now = self._clock()
            if now - self._sent_at.get(name, -math.inf) < self._interval_seconds:
                self._unsent[name] = scalar
                return
            self._sent_at[name] = now
            self._unsent.pop(name, None)
            try:
                self._queue.put_nowait(scalar)
            except queue.Full:
                self._unsent[name] = scalar
                self._refused.add(name)

    def step(self, num_done: int) -> None:
        """Set the step of all further values."""
        with self._lock:
            self._step = num_done

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Add the total of a counter to its curve."""
        if metric in _CURVES:
            self._totals[metric.name] = self._totals.get(metric.name, 0.0) + amount
            self.set(metric, self._totals[metric.name], **labels)

    def describe(self, architecture: str) -> None:
        """Do nothing, because the config names the architectures."""

    def summarise(self, values: Mapping[str, float]) -> None:
        """Record the headline numbers of the run. The sinks receive them at the end, after all values."""
        self._summary |= values

    def close(self, *, timeout_seconds: float = 60.0) -> None:
        """Pass on the last value of each curve and the summary, and wait until the sinks have written everything.

        One warning says how many values were dropped because the sinks were too slow.

        Args:
            timeout_seconds: The longest time that all of this may take.
        """
        deadline = time.monotonic() + timeout_seconds
        last: list[_Scalar | Mapping[str, float] | None] = [*self._unsent.values()]
        if self._summary:
            last.append(self._summary)
        try:
            for item in [*last, None]:
                self._queue.put(item, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            pass
        else:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._num_dropped:
            self._warn(f"tracking was too slow for {plural(self._num_dropped, 'value')}, which no sink has received")
        if self._thread.is_alive():
            self._warn(f"tracking did not end within {timeout_seconds:g} seconds, and its last values may be missing")

    def _pass_on(self, names_of_sinks: tuple[str, ...]) -> None:
        """Open the sinks, pass every item of the queue on to them, and close them. This is the work of the thread."""
        sinks: dict[str, Sink] = {}

        def attempt(name: str, call: Callable[[], None]) -> None:
            # The libraries document no common error. Whatever one raises must neither end this thread, which other
            # sinks need, nor the run.
            try:
                call()
            except Exception as error:
                sinks.pop(name, None)
                self._warn(f"tracking with {name} stopped, which affects no result: {error or type(error).__name__}")

        def opened(name: str) -> None:
            sinks[name] = self._open(name, self._run)

        for name in names_of_sinks:
            attempt(name, partial(opened, name))
        while (item := self._queue.get()) is not None:
            for name, sink in list(sinks.items()):
                attempt(name, partial(_write, sink, item))
        for name, sink in list(sinks.items()):
            attempt(name, sink.close)

    def _warn(self, text: str) -> None:
        print_line(self._run.stage, f"warning: {' '.join(text.split())[:300]}")


def _write(sink: Sink, item: _Scalar | Mapping[str, float]) -> None:
    if isinstance(item, _Scalar):
        sink.log_scalar(item.name, item.value, step=item.step)
    else:
        sink.log_summary(item)
