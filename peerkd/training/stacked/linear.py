"""Linear layers and ReLUs of many students, with their gradients.

A layer computes ``y = W x + b``, where each column of x is a sample. Let ``g = dL/dy`` for a loss L. Then
``dL/dW = g x^T``, ``dL/dx = W^T g``, and ``dL/db`` is the sum of the columns of g.

The batch is the innermost dimension, so that the rows of a matrix product are long. The products of all students have
the same shape, and are computed as a batch of separate products. If the students' rows were stacked into one large
matrix, the matrix library would divide the product into blocks, and the order of addition would depend on the number of
students.

Shape suffixes: G = students, F = input features, M = output features, B = batch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def linear(weights: Mapping[str, Tensor], layer: str, inputs_GFB: Tensor) -> Tensor:
    """Return the outputs of a layer, of shape GMB. Its weights are ``{layer}.weight`` and ``{layer}.bias``."""
    return torch.baddbmm(weights[f"{layer}.bias"].unsqueeze(2), weights[f"{layer}.weight"], inputs_GFB)


def linear_gradients(gradients: Mapping[str, Tensor], layer: str, inputs_GFB: Tensor, grad_GMB: Tensor) -> None:
    """Write the gradients of a layer's weight and bias into ``gradients``, given the gradient of its outputs."""
    torch.bmm(grad_GMB, inputs_GFB.transpose(1, 2), out=gradients[f"{layer}.weight"])
    torch.sum(grad_GMB, dim=2, out=gradients[f"{layer}.bias"])


def linear_backward(weights: Mapping[str, Tensor], layer: str, grad_GMB: Tensor) -> Tensor:
    """Return the gradient of a layer's inputs, of shape GFB, given the gradient of its outputs."""
    return torch.bmm(weights[f"{layer}.weight"].transpose(1, 2), grad_GMB)


def relu_backward(grad: Tensor, outputs: Tensor) -> Tensor:
    """Return the gradient of the inputs of a ReLU, given its outputs and their gradient. All shapes are equal."""
    # y = max(x, 0) passes the gradient where x > 0, which is where y > 0. This operation is several times faster than
    # torch.where or a product with a mask.
    passed: Tensor = torch.ops.aten.threshold_backward(grad, outputs, 0)
    return passed
