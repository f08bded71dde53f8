"""``peerkd.models.small.mlp`` for many students at once.

Shape suffixes: G = students, B = batch, C = image channels, H W = image size, F = features of a layer, J = rows of the
logits: one for each class, and rows of zeros as padding.
"""

from collections.abc import Mapping

from torch import Tensor

from peerkd.training.stacked.linear import linear, linear_backward, linear_gradients, relu_backward


class StackedMlp:
    """The forward and backward passes of the MLPs of G students. It keeps the activations that ``backward`` needs."""

    def __init__(
        self, weights: Mapping[str, Tensor], *, gradients: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
    ) -> None:
        """Store references to tensors of all students, by name.

        Args:
            weights: The weights. Each pass reads their current values.
            gradients: The tensors into which ``backward`` writes.
            statistics: Unused, because the network has no running statistics.
        """
        self._weights = weights
        self._gradients = gradients
        self._num_students = len(weights["classifier.bias"])

    def share(self, images_BCHW: Tensor) -> Tensor:
        """Prepare a batch for the forward passes of all students: return its pixels, of shape FB."""
        return images_BCHW.flatten(1).t().contiguous()

    def forward(self, inputs_FB: Tensor) -> Tensor:
        """Return the students' logits, of shape GJB. They are the same in training and in evaluation mode."""
        self._inputs_GFB = inputs_FB.expand(self._num_students, -1, -1)
        self._hidden1_GFB = linear(self._weights, "hidden1.1", self._inputs_GFB).clamp_min_(0)
        self._hidden2_GFB = linear(self._weights, "hidden2.0", self._hidden1_GFB).clamp_min_(0)
        return linear(self._weights, "classifier", self._hidden2_GFB)

    def backward(self, grad_GJB: Tensor) -> None:
        """Write the gradients of all weights, given the gradient of the logits of the last forward pass."""
        # The chain rule from the logits back to the first layer, whose inputs need no gradient.
        linear_gradients(self._gradients, "classifier", self._hidden2_GFB, grad_GJB)
        grad_GFB = relu_backward(linear_backward(self._weights, "classifier", grad_GJB), self._hidden2_GFB)
        linear_gradients(self._gradients, "hidden2.0", self._hidden1_GFB, grad_GFB)
        grad_GFB = relu_backward(linear_backward(self._weights, "hidden2.0", grad_GFB), self._hidden1_GFB)
        linear_gradients(self._gradients, "hidden1.1", self._inputs_GFB, grad_GFB)

    def evaluate(self, images_BCHW: Tensor) -> Tensor:
        """Return the students' logits in evaluation mode, of shape GJB."""
        return self.forward(self.share(images_BCHW))
