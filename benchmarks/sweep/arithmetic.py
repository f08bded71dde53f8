"""The number of operations of a trial, and the rate at which the machine multiplies matrices."""

from typing import NamedTuple

from benchmarks.matrix_rate import matrix_rate, product_kind, product_kinds
from benchmarks.sweep.outcome import Lap, Layout
from benchmarks.sweep.pool import Pool

_NUM_COUNTED = 2


class SampleFlops(NamedTuple):
    """Operations of matrix products and convolutions on one sample. A multiplication and its addition count as two."""

    step: float
    """The operations of a forward and a backward pass together."""

    forward: float


def count_flops(architecture: str, *, image_shape_CHW: tuple[int, int, int], num_classes: int) -> SampleFlops:
    """Count the operations that torch executes for one sample."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from peerkd.models.build import build_network

    network = build_network(architecture, image_shape_CHW=image_shape_CHW, num_classes=num_classes, seed=0)
    images_NCHW = torch.zeros(_NUM_COUNTED, *image_shape_CHW)
    with FlopCounterMode(display=False) as step:
        network(images_NCHW).sum().backward()
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network(images_NCHW)
    return SampleFlops(step.get_total_flops() / _NUM_COUNTED, forward.get_total_flops() / _NUM_COUNTED)


def lap_flops(lap: Lap, flops: SampleFlops, *, epochs: int, num_judged: int) -> float:
    """Return the number of operations of a lap: for students, their evaluation and the forward passes of teachers.

    Args:
        lap: The trials of the lap.
        flops: Operations for one sample.
        epochs: Epochs of a trial.
        num_judged: Number of samples on which each student is evaluated.
    """
    num_trained = sum(outcome.num_samples for outcome in lap.outcomes) * epochs
    num_forward = lap.num_taught * epochs + len(lap.outcomes) * num_judged
    return num_trained * flops.step + num_forward * flops.forward


class MatrixRates:
    """The rate of matrix products, measured with the processes and threads of a contestant."""

    def __init__(self, *, device: str, seconds: float) -> None:
        self._device = device
        self._seconds = seconds
        self._pools: dict[Layout, Pool] = {}

    def measure(self, layout: Layout, precision: str) -> float:
        """Return the FLOP/s of all processes together, for the kind of product that corresponds to a precision."""
        return self._measure(layout, product_kind(precision, device=self._device))

    def measure_all(self, layout: Layout) -> dict[str, float]:
        """Return FLOP/s of all processes together, by kind of product."""
        return {kind: self._measure(layout, kind) for kind in product_kinds(self._device)}

    def _measure(self, layout: Layout, kind: str) -> float:
        if layout not in self._pools:
            self._pools[layout] = Pool(layout)
        return sum(self._pools[layout].everywhere(_multiply, kind, self._device, self._seconds))

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools.values():
            pool.close()


def _multiply(kind: str, device: str, seconds: float) -> float:
    return matrix_rate(kind, device=device, seconds=seconds)
