"""Linear layers and rectifiers of many students, with their gradients.

Batches are innermost, so that the rows of a matrix product are long. A product is done for each student on its own, by
a batch of products of one shape: never as one product with the students' rows below each other, whose blocks, and so
the order in which it adds, would depend on how many there are.

Shape suffixes: G = students, F = input features, M = output features, B = batch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def linear(weights: Mapping[str, Tensor], layer: str, inputs_GFB: Tensor) -> Tensor:
    """Return ``outputs_GMB`` of the layer that ``{layer}.weight`` and ``{layer}.bias`` belong to."""
    return torch.baddbmm(weights[f"{layer}.bias"].unsqueeze(2), weights[f"{layer}.weight"], inputs_GFB)


def linear_gradients(gradients: Mapping[str, Tensor], layer: str, inputs_GFB: Tensor, grad_GMB: Tensor) -> None:
    """Write the gradients of a layer's weight and bias, from that of its outputs."""
    torch.bmm(grad_GMB, inputs_GFB.transpose(1, 2), out=gradients[f"{layer}.weight"])
    torch.sum(grad_GMB, dim=2, out=gradients[f"{layer}.bias"])


def linear_backward(weights: Mapping[str, Tensor], layer: str, grad_GMB: Tensor) -> Tensor:
    """Return the gradient of a layer's inputs, ``grad_GFB``, from that of its outputs."""
    return torch.bmm(weights[f"{layer}.weight"].transpose(1, 2), grad_GMB)


def relu_backward(grad: Tensor, outputs: Tensor) -> Tensor:
    """Return the gradient of a rectifier's inputs, from that of its outputs, of whatever shape."""
    # Several times faster than torch.where or a product with a mask.
    passed: Tensor = torch.ops.aten.threshold_backward(grad, outputs, 0)
    return passed
