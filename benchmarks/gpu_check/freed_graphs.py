"""A check whether a CUDA graph still computes the right result after another graph of the same stream was freed.

When a graph is freed, torch may clear the cuBLAS workspaces of its stream, which other graphs of the stream still use
(pytorch/pytorch issue 193402). peerkd therefore frees all graphs of a process together. This program frees a single
graph, and prints whether the result of the other one is still right with the installed versions.
"""

import gc
import json

import torch

from peerkd.training.captured import graphs

_NUM_STREAMS = 32
"""The number of distinct streams that torch creates. After that, ``torch.cuda.Stream`` returns the same streams
again."""


def main() -> None:
    """Capture two graphs on one stream, free one of them, overwrite the memory that it used, and replay the other."""
    graphs.choose_repeatable_algorithms()
    device = torch.device("cuda", 0)
    torch.manual_seed(0)
    stream = torch.cuda.Stream(device)
    kept, product, inputs = _capture(device, stream)
    freed, _, _ = _capture(device, stream)
    kept.replay()
    torch.cuda.synchronize()
    expected = product.clone()
    others = [torch.cuda.Stream(device) for _ in range(_NUM_STREAMS)]
    freed.reset()
    del freed
    gc.collect()
    torch.cuda.empty_cache()
    # If the workspace was freed, these tensors, or parts of them, take its place.
    filled = [torch.full((2**20,), float("nan"), device=device) for _ in range(64)]
    kept.replay()
    torch.cuda.synchronize()
    is_right = torch.equal(product, expected)
    print(
        json.dumps(
            {
                "a live graph is right after another one was freed": is_right,
                "streams repeat": any(other.cuda_stream == stream.cuda_stream for other in others),
                "tensors that took free memory": len(filled),
                "inputs": len(inputs),
            }
        )
    )


def _capture(
    device: torch.device, stream: torch.cuda.Stream
) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, list[torch.Tensor]]:
    # Long and narrow matrices, so that cuBLAS splits the product and adds its parts in the workspace.
    images, weights = torch.randn(8, 16384, device=device), torch.randn(16384, 64, device=device)
    one, other = images.bfloat16(), weights.bfloat16()
    product = torch.zeros(8, 64, device=device, dtype=torch.bfloat16)
    graph = torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.mm(one, other, out=product)
    torch.cuda.current_stream(device).wait_stream(stream)
    with torch.cuda.graph(graph, stream=stream):
        torch.mm(one, other, out=product)
    return graph, product, [one, other]


if __name__ == "__main__":
    main()
