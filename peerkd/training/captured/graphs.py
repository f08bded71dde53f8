"""Capture of CUDA graphs, and the memory that a GPU has left.

The procedure follows torch's notes on CUDA graphs (pytorch.org/docs, "CUDA semantics"): a step is warmed up on a side
stream, then captured on it, with memory from a pool that only this lane's graphs use. They may share one pool, because
steps of one lane never run at the same time. Graphs of one stream are never freed one by one, because torch may then
clear memory to which the others still point (pytorch/pytorch issue 193402).
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from peerkd.training.samples import BatchSize

_NUM_FIRST_STEPS: Final = 3
"""The number of steps before the first capture of a lane, from the notes. In them libraries choose their algorithms and
allocate memory.
"""

_MAX_GRAPHS: Final = 64
"""The most graphs of a lane. Batches of further sizes are processed without a graph, by the same arithmetic."""

_KEPT_FREE_FRACTION: Final = 0.2
"""The fraction of the GPU's memory that is left for data sets, logits of teachers and evaluation."""


class CapturedSteps:
    """The steps of one lane, captured for each batch size and replayed in a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        """Create a stream and a memory pool."""
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[BatchSize, torch.cuda.CUDAGraph] = {}
        self._steps: dict[BatchSize, Callable[[], None]] = {}
        self._failed: list[torch.cuda.CUDAGraph] = []

    def prepare(self, size: BatchSize, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Capture a step. The capture runs the step a few times and then restores the tensors ``changes``.

        Raises:
            RuntimeError: If the first step of the lane cannot be captured. A later one is then called instead.
        """
        self._steps[size] = step
        if len(self._graphs) == _MAX_GRAPHS:
            return
        before = [tensor.detach().clone() for tensor in changes]
        try:
            self._graphs[size] = self._capture(step, num_warm_up_steps=1 if self._graphs else _NUM_FIRST_STEPS)
        except RuntimeError:
            if not self._graphs:
                raise
        finally:
            with torch.no_grad():
                for tensor, kept in zip(changes, before, strict=True):
                    tensor.copy_(kept)

    def run(self, size: BatchSize) -> None:
        """Begin a step after all work that is queued in the current stream."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            if size in self._graphs:
                self._graphs[size].replay()
            else:
                self._steps[size]()

    def join(self) -> None:
        """Make the current stream wait for the steps."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def _capture(self, step: Callable[[], None], *, num_warm_up_steps: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # The current stream is entered explicitly, so that it is current again after a failed capture, whatever torch
        # does then.
        with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream(self._device)):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(num_warm_up_steps):
                    step()
            self.join()
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    step()
            except RuntimeError:
                self._failed.append(graph)
                raise
        return graph


def choose_repeatable_algorithms() -> None:
    """Make this process use algorithms with a fixed order of addition, and never choose an algorithm by its speed.

    Otherwise a student's last bits would depend on what else the GPU does. This must be called before the process
    multiplies its first matrices on the GPU, because cuBLAS reads its variable then (its documentation, "Results
    reproducibility"). float32 keeps torch's meaning: convolutions may use TF32.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def free_bytes(device: torch.device) -> int:
    """Return the free memory of the GPU beyond the fraction that is kept free, after torch has released its cache."""
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        num_free, num_total = torch.cuda.mem_get_info()
    return max(num_free - int(_KEPT_FREE_FRACTION * num_total), 0)


def finish(device: torch.device) -> None:
    """Wait until the GPU has finished all its work."""
    torch.cuda.synchronize(device)
