"""Capture of CUDA graphs, and the memory that a GPU has left.

The procedure follows torch's notes on CUDA graphs (pytorch.org/docs, "CUDA semantics"). A step is warmed up on a side
stream and then captured on the same stream. Its memory comes from a pool that only the graphs of one lane use. These
graphs may share a pool, because the steps of one lane never run at the same time.

A process has one ``GraphOwner``, which owns all streams and graphs, and frees all graphs together when nothing runs.
Graphs of one stream are never freed one by one, because torch may then clear memory that the remaining graphs still use
(pytorch/pytorch issue 193402).
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Self

import torch
from torch import Tensor

from peerkd.training.samples import BatchSize

_NUM_FIRST_STEPS: Final = 3
"""The number of warm-up steps before the first capture of a lane, as torch's notes recommend.

In these steps libraries choose their algorithms and allocate memory.
"""

_MAX_GRAPHS: Final = 64
"""The maximum number of graphs of a lane, one for each batch size. Steps on batches of further sizes run without a
graph.

The results are the same.
"""

_NUM_STREAMS: Final = 32
"""The number of different streams that torch provides. If more are requested, torch returns the same streams again."""

_KEPT_FREE_FRACTION: Final = 0.2
"""The fraction of the GPU's memory that is left for data sets, logits of teachers and evaluation."""


class CapturedSteps:
    """The training steps of one lane: a CUDA graph for each batch size, which is replayed in the lane's stream."""

    def __init__(self, device: torch.device, stream: torch.cuda.Stream) -> None:
        """Create a memory pool. ``GraphOwner.new_steps`` calls this."""
        self._device, self._stream = device, stream
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[BatchSize, torch.cuda.CUDAGraph] = {}
        self._steps: dict[BatchSize, Callable[[], None]] = {}
        self._failed: list[torch.cuda.CUDAGraph] = []

    def prepare(self, size: BatchSize, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Capture the step for batches of a size.

        Args:
            size: The size of the batches.
            step: The step. It is called a few times before it is captured.
            changes: The tensors that the step changes. They have their old values again afterwards.

        Raises:
            RuntimeError: If the first step of the lane cannot be captured. If this happens for a later batch size,
                ``run`` calls that step without a graph.
        """
        self._steps[size] = step
        if len(self._graphs) == _MAX_GRAPHS:
            return
        before = [tensor.detach().clone() for tensor in changes]
        try:
            self._graphs[size] = self._capture(step, num_warm_up_steps=1 if self._graphs else _NUM_FIRST_STEPS)
        except RuntimeError:
            if not self._graphs:
                # The lane will be dropped. Its owner keeps these steps, which must not keep the student's memory.
                self._steps.clear()
                raise
        finally:
            with torch.no_grad():
                for tensor, kept in zip(changes, before, strict=True):
                    tensor.copy_(kept)

    def run(self, size: BatchSize) -> None:
        """Queue a step in the lane's stream. It begins after all work that is already queued in the current stream."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            if size in self._graphs:
                self._graphs[size].replay()
            else:
                self._steps[size]()

    def join(self) -> None:
        """Make further work in the current stream wait until all queued steps of the lane are done."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def free(self) -> None:
        """Free all graphs. ``GraphOwner`` calls this for all lanes together, when no work is queued."""
        for graph in (*self._graphs.values(), *self._failed):
            graph.reset()
        self._graphs.clear()
        self._failed.clear()
        self._steps.clear()

    def _capture(self, step: Callable[[], None], *, num_warm_up_steps: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # The current stream is entered explicitly, so that it is current again after a failed capture, whatever torch
        # does then.
        with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream(self._device)):
            self._stream.wait_stream(torch.cuda.current_stream())
            try:
                with torch.cuda.stream(self._stream):
                    for _ in range(num_warm_up_steps):
                        step()
            except BaseException:
                # The work that was queued before the error goes on. It must end before the tensors that it changes are
                # restored or freed.
                self._stream.synchronize()
                raise
            self.join()
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    step()
            except RuntimeError:
                self._failed.append(graph)
                raise
        return graph


class GraphOwner:
    """The owner of the streams and graphs of all lanes of this process, which are freed together."""

    _has_open = False

    def __init__(self, device: torch.device) -> None:
        """Become the owner in this process.

        Raises:
            RuntimeError: If another owner is open in this process.
        """
        if GraphOwner._has_open:
            raise RuntimeError(
                "A process can have the CUDA graphs of one sweep at a time, and an earlier sweep of this process is "
                "open; call its close method first."
            )
        self._device = device
        self._steps: list[CapturedSteps] = []
        self._is_open = GraphOwner._has_open = True

    def new_steps(self) -> CapturedSteps:
        """Return an object that captures the steps of a new lane. Successive lanes have different streams.

        Raises:
            RuntimeError: If the owner is closed.
        """
        if not self._is_open:
            raise RuntimeError("The owner of CUDA graphs must be open when a lane is created, got a closed one.")
        streams = _streams(self._device)
        steps = CapturedSteps(self._device, streams[len(self._steps) % len(streams)])
        self._steps.append(steps)
        return steps

    def close(self) -> None:
        """Wait for the GPU, then free all graphs. The lanes cannot be used any more. A second call does nothing."""
        if not self._is_open:
            return
        try:
            finish(self._device)
            for steps in self._steps:
                steps.free()
        finally:
            self._steps.clear()
            self._is_open = GraphOwner._has_open = False

    def __enter__(self) -> Self:
        """Return the owner, which is closed at the end of the ``with`` statement."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def _streams(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    """Return all streams that torch has for a device. Every ``GraphOwner`` of the process uses the same ones."""
    return tuple(torch.cuda.Stream(device) for _ in range(_NUM_STREAMS))


def choose_repeatable_algorithms() -> None:
    """Make this process use algorithms with a fixed order of addition, and never choose an algorithm by its speed.

    Otherwise the last bits of a student's weights would depend on the other work of the GPU. This function must be
    called before the process multiplies its first matrices on the GPU, because cuBLAS then reads the environment
    variable ``CUBLAS_WORKSPACE_CONFIG`` (documentation of cuBLAS, "Results reproducibility"). The precision of float32
    does not change: by torch's default, convolutions may use TF32.

    One operation has no algorithm with a fixed order: if the windows of max pooling overlap, its backward pass adds the
    gradients in any order (pytorch/pytorch issue 85425). The networks for ImageNet contain such a pooling. On a GPU,
    the last bits of their students may therefore differ from run to run.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def free_bytes(device: torch.device) -> int:
    """Return the memory of the GPU that new lanes may take.

    It is the free memory, after torch has released its cache, minus the fraction ``_KEPT_FREE_FRACTION`` of the whole
    memory. It is at least 0.
    """
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        num_free, num_total = torch.cuda.mem_get_info()
    return max(num_free - int(_KEPT_FREE_FRACTION * num_total), 0)


def finish(device: torch.device) -> None:
    """Wait until the GPU has finished all its work."""
    torch.cuda.synchronize(device)
