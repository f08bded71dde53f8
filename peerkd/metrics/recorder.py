"""What is measured while work goes on: small functions that any stage may call, and that do nothing unless enabled.

Each stage enables them through ``peerkd.metrics.endpoint``. In a worker whose environment names a port for metrics, the
numbers go to a Prometheus endpoint; elsewhere they are dropped. No caller needs to know which.
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


class _Silent:
    """Takes nothing: the recorder of a process that is not asked for metrics."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        pass

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        pass

    def describe(self, architecture: str) -> None:
        pass


_SILENT: Final = _Silent()
_current: Recorder = _SILENT


@contextmanager
def recording_to(recorder: Recorder | None) -> Iterator[None]:
    """Give what the functions below are told to this recorder; ``None`` takes nothing."""
    global _current
    before, _current = _current, recorder or _SILENT
    try:
        yield
    finally:
        _current = before


def progress(unit: str, *, num_new: int, num_done: int, num_left: int) -> None:
    """Tell that ``num_new`` more pieces were done by this process, and how many are done and left by anyone."""
    if unit in _UNITS:
        counter, done, left = _UNITS[unit]
        _current.add(counter, num_new)
        _current.set(done, num_done)
        _current.set(left, num_left)
    _touch()


def waiting(whether: bool) -> None:
    """Tell that this worker begins, or ends, to wait for others: it is then not taken for stalled."""
    _current.set(names.WORKER_WAITING, float(whether))
    if not whether:
        _touch()


def samples(num: int) -> None:
    """Count training samples that went through an optimiser step; a sample counts once, however many its views."""
    _current.add(names.SAMPLES, num)
    _touch()


def losses(parts: Mapping[str, float | None]) -> None:
    """Tell the mean losses of an epoch: ``loss`` and ``loss/<part>``; ``None``, which was no finite number, is NaN."""
    for part, value in parts.items():
        _current.set(names.LOSS, math.nan if value is None else value, part=part.removeprefix("loss/"))


def accuracy(split: str, share: float | None) -> None:
    """Tell the share of right predictions on a split, ``validation`` or ``test``; None is reported as NaN."""
    _current.set(names.ACCURACY, math.nan if share is None else share, split=split)


def diverged() -> None:
    """Count a training that did not end in finite numbers."""
    _current.add(names.DIVERGED, 1)


def checkpoint_saved() -> None:
    """Tell that what a restart would go on from is durable now."""
    _current.set(names.CHECKPOINT, time.time())


def gpu_memory(*, used_bytes: int, peak_bytes: int) -> None:
    """Tell the GPU memory of this worker's training."""
    _current.set(names.GPU_MEMORY_USED, used_bytes)
    _current.set(names.GPU_MEMORY_PEAK, peak_bytes)


def store_error() -> None:
    """Count a request to the store that failed, even if it is repeated."""
    _current.add(names.STORE_ERRORS, 1)


def architecture(name: str) -> None:
    """Tell what is trained, for the info metric; a stage that trains several at once tells none."""
    _current.describe(name)


def _touch() -> None:
    _current.set(names.LAST_PROGRESS, time.time())
