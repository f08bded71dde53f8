"""The one place that captures CUDA graphs, and asks how much memory a GPU has.

After torch's notes on CUDA graphs (pytorch.org/docs, "CUDA semantics"): a step is warmed up on a side stream, then
captured on it, with memory from a pool that only this lane's graphs have. They may share one, as a lane's steps never
run at the same time. Graphs of one stream are never given up one by one, since torch may then clear memory that the
others still point to (pytorch/pytorch issue 193402).
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

_NUM_FIRST_STEPS: Final = 3
"""Before the first capture of a lane, as the notes have it: libraries choose their ways, and take their memory."""

_MAX_GRAPHS: Final = 64
"""Of a lane. Batches of yet another size are stepped without a graph, by the same arithmetic."""

_KEPT_FREE_FRACTION: Final = 0.2
"""Of the GPU's memory: for data sets, the logits of teachers, and judging."""


class CapturedSteps:
    """The steps of one lane, captured for each size of a batch and replayed in a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        """Take a stream and a pool of memory."""
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._steps: dict[int, Callable[[], None]] = {}
        self._failed: list[torch.cuda.CUDAGraph] = []

    def prepare(self, num_samples: int, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Capture a step, which is done a few times for that; ``changes`` are left as they are.

        Raises:
            RuntimeError: If the first step of the lane cannot be captured. A later one is then called instead.
        """
        self._steps[num_samples] = step
        if len(self._graphs) == _MAX_GRAPHS:
            return
        before = [tensor.detach().clone() for tensor in changes]
        try:
            self._graphs[num_samples] = self._capture(step, num_warm_up_steps=1 if self._graphs else _NUM_FIRST_STEPS)
        except RuntimeError:
            if not self._graphs:
                raise
        finally:
            with torch.no_grad():
                for tensor, kept in zip(changes, before, strict=True):
                    tensor.copy_(kept)

    def run(self, num_samples: int) -> None:
        """Begin a step after all that the current stream does."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            if num_samples in self._graphs:
                self._graphs[num_samples].replay()
            else:
                self._steps[num_samples]()

    def join(self) -> None:
        """Let the current stream wait for the steps."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def _capture(self, step: Callable[[], None], *, num_warm_up_steps: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # The current stream is named so that it is current again after a capture that failed, whatever torch does then.
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
    """Let this process choose algorithms that add in one order always, and not by timing them.

    Otherwise a student's last bits would depend on what else the GPU does meanwhile. To be called before the process
    multiplies its first matrices there, since cuBLAS reads its variable then (its documentation, "Results
    reproducibility"). float32 is what torch takes it for: convolutions may use TF32.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def free_bytes(device: torch.device) -> int:
    """Return what is free of the GPU's memory beyond a fifth of it, when torch has given back what it does not need."""
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        num_free, num_total = torch.cuda.mem_get_info()
    return max(num_free - int(_KEPT_FREE_FRACTION * num_total), 0)


def finish(device: torch.device) -> None:
    """Wait until the GPU has done all that it was given."""
    torch.cuda.synchronize(device)
