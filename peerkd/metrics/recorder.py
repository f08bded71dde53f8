"""The functions by which stages report measurements. They have no effect unless a recorder is installed.

Each stage installs a recorder through ``peerkd.metrics.endpoint``. If the environment names a port for metrics, the
recorder serves the measurements to Prometheus. Otherwise they are dropped. Callers do the same in both cases.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from peerkd.metrics import names
from peerkd.metrics.names import Metric, Recorder

_UNITS: Final[Mapping[str, tuple[Metric, Metric, Metric]]] = {
    "trials": (names.TRIALS, names.TRIALS_DONE, names.TRIALS_LEFT),
    "epochs": (names.EPOCHS, names.EPOCHS_DONE, names.EPOCHS_LEFT),
}
"""The metrics of a unit of work, such as trials: the counter, the number of units done and the number of units left.

Units that are missing here, such as rounds, only set the step of further values."""


class _Silent:
    """The recorder of a process without metrics, which ignores all values."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        pass

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        pass

    def step(self, num_done: int) -> None:
        pass

    def describe(self, architecture: str) -> None:
        pass


class _Both:
    """A recorder that passes all values on to two others."""

    def __init__(self, first: Recorder, second: Recorder) -> None:
        self._first, self._second = first, second

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        self._first.set(metric, value, **labels)
        self._second.set(metric, value, **labels)

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        self._first.add(metric, amount, **labels)
        self._second.add(metric, amount, **labels)

    def step(self, num_done: int) -> None:
        self._first.step(num_done)
        self._second.step(num_done)

    def describe(self, architecture: str) -> None:
        self._first.describe(architecture)
        self._second.describe(architecture)


_SILENT: Final = _Silent()
_current: Recorder = _SILENT


@contextmanager
def recording_to(recorder: Recorder | None) -> Iterator[None]:
    """Send the values that stages report in the ``with`` block to a recorder. With ``None``, they are dropped."""
    global _current
    before, _current = _current, recorder or _SILENT
    try:
        yield
    finally:
        _current = before


@contextmanager
def also_recording_to(recorder: Recorder) -> Iterator[None]:
    """Send the values that stages report in the ``with`` block to one more recorder.

    The recorder that receives them already continues to do so.
    """
    with recording_to(_Both(_current, recorder)):
        yield


def progress(unit: str, *, num_new: int, num_done: int, num_left: int) -> None:
    """Report the units of work that this process has newly finished, and how many are finished and left in total."""
    _current.step(num_done)
    if unit in _UNITS:
        counter, done, left = _UNITS[unit]
        _current.add(counter, num_new)
        _current.set(done, num_done)
        _current.set(left, num_left)
    _touch()


def waiting(whether: bool) -> None:
    """Report whether this worker is waiting for other workers. A waiting worker does not count as stalled."""
    _current.set(names.WORKER_WAITING, float(whether))
    if not whether:
        _touch()


def samples(num: int) -> None:
    """Count training samples that were used in an optimiser step. Several views of a sample count once."""
    _current.add(names.SAMPLES, num)
    _touch()


def losses(parts: Mapping[str, float | None]) -> None:
    """Report the mean losses of an epoch, by the names ``loss`` and ``loss/<part>``.

    ``None`` stands for a loss that is not finite. It is reported as NaN.
    """
    for part, value in parts.items():
        _current.set(names.LOSS, math.nan if value is None else value, part=part.removeprefix("loss/"))


def accuracy(split: str, share: float | None, *, method: str | None = None) -> None:
    """Report the accuracy, from 0 to 1, on the split ``validation`` or ``test``.

    Args:
        split: The split.
        share: The accuracy. None says that the logits were not finite. It is reported as NaN.
        method: The method whose accuracy it is, if a stage carries out several methods at once. Experiment trackers
            then draw a curve for each method. Prometheus has only the last accuracy, of whatever method.
    """
    labels = {"split": split} if method is None else {"split": split, "method": method}
    _current.set(names.ACCURACY, math.nan if share is None else share, **labels)


def diverged() -> None:
    """Count a training that diverged: its weights or losses are no longer finite numbers."""
    _current.add(names.DIVERGED, 1)


def checkpoint_saved() -> None:
    """Report that a checkpoint or a journal, from which a restart continues, has been saved."""
    _current.set(names.CHECKPOINT, time.time())


def gpu_memory(*, used_bytes: int, peak_bytes: int) -> None:
    """Report the GPU memory that this worker's training uses."""
    _current.set(names.GPU_MEMORY_USED, used_bytes)
    _current.set(names.GPU_MEMORY_PEAK, peak_bytes)


def store_error() -> None:
    """Count a failed request to the store, even if it will be repeated."""
    _current.add(names.STORE_ERRORS, 1)


def architecture(name: str) -> None:
    """Report the architecture that is being trained. A stage that trains several at once does not call this."""
    _current.describe(name)


def _touch() -> None:
    _current.set(names.LAST_PROGRESS, time.time())
