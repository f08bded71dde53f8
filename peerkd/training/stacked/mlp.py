"""``peerkd.models.small.mlp`` for many students at once.

Shape suffixes: G = students, B = batch, C = image channels, H W = image size, F = features of a layer, J = classes and
the rows that fill them up.
"""

from collections.abc import Mapping

from torch import Tensor

from peerkd.training.stacked.linear import linear, linear_backward, linear_gradients, relu_backward


class StackedMlp:
    """Where the students' weights are and their gradients go, and what backward needs of the last forward pass."""

    def __init__(
        self, weights: Mapping[str, Tensor], *, gradients: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
    ) -> None:
        """Keep the tensors: the weights are read anew in each pass, the gradients written. There are no statistics."""
        self._weights = weights
        self._gradients = gradients
        self._num_students = len(weights["classifier.bias"])

    def share(self, images_BCHW: Tensor) -> Tensor:
        """Return what is made of a batch once for all students: its pixels, ``inputs_FB``."""
        return images_BCHW.flatten(1).t().contiguous()

    def forward(self, inputs_FB: Tensor) -> Tensor:
        """Return ``logits_GJB``; training and evaluation do not differ."""
        self._inputs_GFB = inputs_FB.expand(self._num_students, -1, -1)
        self._hidden1_GFB = linear(self._weights, "hidden1.1", self._inputs_GFB).clamp_min_(0)
        self._hidden2_GFB = linear(self._weights, "hidden2.0", self._hidden1_GFB).clamp_min_(0)
        return linear(self._weights, "classifier", self._hidden2_GFB)

    def backward(self, grad_GJB: Tensor) -> None:
        """Write the gradients of all weights, from that of the logits of the last forward pass."""
        linear_gradients(self._gradients, "classifier", self._hidden2_GFB, grad_GJB)
        grad_GFB = relu_backward(linear_backward(self._weights, "classifier", grad_GJB), self._hidden2_GFB)
        linear_gradients(self._gradients, "hidden2.0", self._hidden1_GFB, grad_GFB)
        grad_GFB = relu_backward(linear_backward(self._weights, "hidden2.0", grad_GFB), self._hidden1_GFB)
        linear_gradients(self._gradients, "hidden1.1", self._inputs_GFB, grad_GFB)

    def evaluate(self, images_BCHW: Tensor) -> Tensor:
        """Return ``logits_GJB`` in evaluation mode."""
        return self.forward(self.share(images_BCHW))
