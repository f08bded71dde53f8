"""A statement of whether a graph still computes what it should after another graph of its stream was freed.

When a graph is freed, torch may clear the cuBLAS workspaces of its stream, to which other graphs of the stream point
(pytorch/pytorch issue 193402). peerkd therefore frees all graphs of a process together. This program does what peerkd
avoids, and states whether that matters with the versions here.
"""

import gc
import json

import torch

from peerkd.training.captured import graphs

_NUM_STREAMS = 32
"""The number of streams that torch creates. Further ones are the same again."""


def main() -> None:
    """Capture two graphs on one stream, free one, overwrite the memory that is free now, and replay the other."""
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
