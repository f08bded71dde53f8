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

_CURVES: Final = frozenset({names.TRIALS_DONE, names.EPOCHS_DONE, names.LOSS, names.ACCURACY, names.DIVERGED})
_STEPS: Final = frozenset({names.TRIALS_DONE, names.EPOCHS_DONE})

_MAX_WAITING: Final = 10_000
"""The number of values that wait for a slow sink. Further values are dropped."""


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
    ) -> None:
        self._run, self._interval_seconds, self._clock, self._open = run, interval_seconds, clock, open_
        self._lock = threading.Lock()
        self._step = 0
        self._totals: dict[str, float] = {}
        self._sent_at: dict[str, float] = {}
        self._unsent: dict[str, _Scalar] = {}
        self._queue: queue.Queue[_Scalar | Mapping[str, float] | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._pass_on, args=(tuple(sinks),), daemon=True, name="tracking")
        self._thread.start()

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Add the value of a gauge to its curve."""
        if metric not in _CURVES:
            return
        with self._lock:
            if metric in _STEPS:
                self._step = int(value)
            name = "/".join((self._run.stage, metric.name.removeprefix("peerkd_"), *labels.values()))
            scalar = _Scalar(name, value, self._step)
            now = self._clock()
            if now - self._sent_at.get(name, -math.inf) < self._interval_seconds:
                self._unsent[name] = scalar
                return
            self._sent_at[name] = now
            self._unsent.pop(name, None)
            self._put(scalar)

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Add the total of a counter to its curve."""
        if metric in _CURVES:
            self._totals[metric.name] = self._totals.get(metric.name, 0.0) + amount
            self.set(metric, self._totals[metric.name], **labels)

    def describe(self, architecture: str) -> None:
        """Do nothing, because the config names the architectures."""

    def summarise(self, values: Mapping[str, float]) -> None:
        """Record the headline numbers of the run."""
        self._put(dict(values))

    def close(self, *, timeout_seconds: float = 60.0) -> None:
        """Pass on the last value of each curve, and wait until the sinks have written everything."""
        for scalar in self._unsent.values():
            self._put(scalar)
        try:
            self._queue.put(None, timeout=timeout_seconds)
        except queue.Full:
            pass
        else:
            self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self._warn(f"tracking did not end within {timeout_seconds:g} seconds, and its last values may be missing")

    def _put(self, item: _Scalar | Mapping[str, float]) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            return

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
