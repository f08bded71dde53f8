"""``peerkd.models.small.small_cnn`` for many students at once.

The first layers of all students read the same patches and differ only in their weights. Batch normalisation of the
first layer's outputs is a linear operation, so it is folded into the weights. The moments of the outputs, and the
gradient, are computed from the moments of the patches and not from the outputs.

Shape suffixes: G = students, B = batch, C = image channels, H W = image size, M = maps, D = inputs of one output of a
convolution, P = positions, R = columns: P * B, F = features, J = rows of the logits: one for each class, and rows of
zeros as padding; GM1 = one number for each map.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.training.stacked import normalization, patches
from peerkd.training.stacked.linear import linear, linear_backward, linear_gradients, relu_backward

_NUM_CELLS = 2
"""The number of cells of the average pooling, in height and in width."""


class Windows(NamedTuple):
    """The patches of a batch that the first layer reads."""

    patches_DR: Tensor
    """The patches, in the order of ``peerkd.training.stacked.patches.by_window``."""

    pooled_shape_HWB: tuple[int, int, int]
    """The shape of the first layer's maps after pooling."""


class Shared(NamedTuple):
    """The prepared inputs of a batch, which all students share."""

    windows: Windows
    """The patches minus their mean."""

    moments: normalization.InputMoments
    """The moments of all patches, including those that no pooling window reads."""

    num_columns: int
    """The number of columns over which the moments were computed."""


class StackedSmallCnn:
    """The forward and backward passes of the small CNNs of G students. It keeps the activations for ``backward``."""

    def __init__(
        self, weights: Mapping[str, Tensor], *, gradients: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
    ) -> None:
        """Store references to tensors of all students, by name.

        Args:
            weights: The weights. Each pass reads their current values.
            gradients: The tensors into which ``backward`` writes.
            statistics: The running statistics, which ``forward`` updates.
        """
        self._weights = weights
        self._gradients = gradients
        self._statistics = statistics
        self._num_students = len(weights["classifier.bias"])

    def share(self, images_BCHW: Tensor) -> Shared:
        """Prepare a batch for the forward passes of all students."""
        patches_DHWB = _patches(images_BCHW)
        centred_DR, moments = normalization.centre(patches_DHWB.flatten(1))
        return Shared(_windows(centred_DR.view_as(patches_DHWB)), moments, num_columns=centred_DR.shape[1])

    def forward(self, shared: Shared) -> Tensor:
        """Return the students' logits in training mode, of shape GJB, and update the running statistics."""
        # Stage 1: scale s (w . x) + shift = (scale s w) . x + shift for the centred patches x. The factor goes into
        # the filters, and s follows from the covariance of the patches.
        self._windows = shared.windows
        self._moments1 = normalization.output_moments(self._filters("stage1.0"), shared.moments)
        self._inverse1_GM1 = normalization.inverse_deviation(self._moments1.variance_GM1)
        self._running("stage1.1", self._moments1.mean_GM1, self._moments1.variance_GM1, shared.num_columns)
        self._pool1(self._scale("stage1.1") * self._inverse1_GM1, self._shift("stage1.1"))
        # Stage 2: the students' inputs differ, so the maps themselves are normalised.
        self._maps2_GMR = self._convolve2()
        self._normal2_GMR, self._mean2_GM1, self._inverse2_GM1 = normalization.normalize(self._maps2_GMR)
        variance_GM1 = normalization.variance_of(self._inverse2_GM1)
        self._running("stage2.1", self._mean2_GM1, variance_GM1, self._maps2_GMR.shape[2])
        return self._classify((self._normal2_GMR * self._scale("stage2.1")).add_(self._shift("stage2.1")))

    def evaluate(self, images_BCHW: Tensor) -> Tensor:
        """Return the students' logits in evaluation mode, of shape GJB."""
        self._windows = _windows(_patches(images_BCHW))
        self._pool1(*self._running_affine("stage1.1"))
        scale_GM1, shift_GM1 = self._running_affine("stage2.1")
        return self._classify(self._convolve2().mul_(scale_GM1).add_(shift_GM1))

    def backward(self, grad_GJB: Tensor) -> None:
        """Write the gradients of all weights, given the gradient of the logits of the last forward pass."""
        # Each line is the transpose of one operation of ``forward``, from the logits to the pooled maps of stage 1.
        linear_gradients(self._gradients, "classifier", self._features_GFB, grad_GJB)
        grad_GMR = self._average_pool_backward(linear_backward(self._weights, "classifier", grad_GJB))
        grad_GMR = relu_backward(grad_GMR, self._hidden2_GMR)
        # z = scale n + shift: dL/dshift = sum_R dL/dz, dL/dscale = sum_R dL/dz n, dL/dn = scale dL/dz.
        torch.sum(grad_GMR, dim=2, out=self._gradients["stage2.1.bias"])
        torch.sum(grad_GMR * self._normal2_GMR, dim=2, out=self._gradients["stage2.1.weight"])
        grad_GMR = normalization.normalize_backward(
            grad_GMR * self._scale("stage2.1"), self._maps2_GMR, self._mean2_GM1, self._inverse2_GM1
        )
        # y = W P: dL/dW = dL/dy P^T and dL/dP = W^T dL/dy.
        self._filter_gradients("stage2.0", torch.bmm(grad_GMR, self._patches2_GDR.transpose(1, 2)))
        grad_GDR = torch.bmm(self._filters("stage2.0").transpose(1, 2), grad_GMR)
        grad_GMHWB = patches.patches_backward(grad_GDR.unflatten(2, self._windows.pooled_shape_HWB))
        self._backward1(relu_backward(grad_GMHWB.flatten(2), self._hidden1_GMR))

    def _backward1(self, grad_GMR: Tensor) -> None:
        """Write the gradients of the first stage, given the gradient of its pooled maps before the ReLU.

        For one map, let x be the centred columns, S their covariance and w the filter. The map has the variance
        ``v = w S w^T``, the inverse deviation ``s = (v + epsilon)^(-1/2)`` and the normalised values ``n = s w . x``.
        The layer returns ``z = scale n + shift``. Let L be the student's loss, and d the gradient of L with respect to
        z at each column. Max pooling passes d to the position of each maximum. Then::

            dL/dshift = sum_R d
            dL/dscale = sum_R d n = s w . (d x^T) = dot
            ds/dw     = -s^3 w S
            dL/dw     = scale (s d x^T + (sum_R d w . x) ds/dw) = scale s (d x^T - s dot w S)

        ``w S`` is the covariance between outputs and inputs. Columns outside the pooling windows have no gradient, but
        they count in S. The derivative of the mean vanishes, because x is centred whatever w is.
        """
        torch.sum(grad_GMR, dim=2, out=self._gradients["stage1.1.bias"])
        grad_windows_GMR = patches.max_pool_backward(grad_GMR, self._windows1_GMR, self._positions1)
        # d x^T, where d is zero but at the maxima.
        product_GMD = torch.bmm(grad_windows_GMR, self._patches1_GDR.transpose(1, 2))
        dot_GM1 = (self._filters("stage1.0") * product_GMD).sum(2, keepdim=True) * self._inverse1_GM1
        self._gradients["stage1.1.weight"].copy_(dot_GM1.squeeze(2))
        # s dot w S, the part of the gradient that goes through the deviation.
        within_GMD = self._moments1.covariance_GMD * (dot_GM1 * self._inverse1_GM1)
        scale_GM1 = self._scale("stage1.1") * self._inverse1_GM1
        self._filter_gradients("stage1.0", (product_GMD - within_GMD) * scale_GM1)

    def _pool1(self, scale_GM1: Tensor, shift_GM1: Tensor) -> None:
        self._patches1_GDR = self._windows.patches_DR.expand(self._num_students, -1, -1)
        # The maps are scaled before pooling, because a negative scale would exchange maximum and minimum. They are
        # shifted and rectified after pooling: both operations are monotone, so the maximum is the same, and only a
        # quarter of the numbers is processed.
        self._windows1_GMR = torch.bmm(self._filters("stage1.0") * scale_GM1, self._patches1_GDR)
        largest_GMR, self._positions1 = patches.max_pool(self._windows1_GMR)
        self._hidden1_GMR = largest_GMR.add_(shift_GM1).clamp_min_(0)

    def _convolve2(self) -> Tensor:
        hidden1_GMHWB = self._hidden1_GMR.unflatten(2, self._windows.pooled_shape_HWB)
        self._patches2_GDR = patches.patches(hidden1_GMHWB).flatten(2)
        return torch.bmm(self._filters("stage2.0"), self._patches2_GDR)

    def _classify(self, normal_GMR: Tensor) -> Tensor:
        self._hidden2_GMR = normal_GMR.clamp_min_(0)
        cells = F.adaptive_avg_pool2d(self._as_images(self._hidden2_GMR), _NUM_CELLS)
        num_images = cells.shape[1]
        self._features_GFB = cells.permute(0, 2, 3, 1).reshape(self._num_students, -1, num_images)
        return linear(self._weights, "classifier", self._features_GFB)

    def _average_pool_backward(self, grad_GFB: Tensor) -> Tensor:
        # The gradient of the mean of a cell is spread evenly over the positions of the cell.
        cells = grad_GFB.reshape(-1, _NUM_CELLS, _NUM_CELLS, grad_GFB.shape[2]).permute(0, 3, 1, 2)
        grad: Tensor = torch.ops.aten._adaptive_avg_pool2d_backward(cells, self._as_images(self._hidden2_GMR))
        return grad.permute(0, 2, 3, 1).reshape(self._hidden2_GMR.shape)

    def _as_images(self, maps_GMR: Tensor) -> Tensor:
        """Return a view of the maps as a batch of G * M images with B channels, which are innermost in memory."""
        return maps_GMR.view(-1, *self._windows.pooled_shape_HWB).permute(0, 3, 1, 2)

    def _filters(self, layer: str) -> Tensor:
        return self._weights[f"{layer}.weight"].flatten(2)

    def _filter_gradients(self, layer: str, grad_GMD: Tensor) -> None:
        self._gradients[f"{layer}.weight"].flatten(2).copy_(grad_GMD)

    def _scale(self, layer: str) -> Tensor:
        return self._weights[f"{layer}.weight"].unsqueeze(2)

    def _shift(self, layer: str) -> Tensor:
        return self._weights[f"{layer}.bias"].unsqueeze(2)

    def _running(self, layer: str, mean_GM1: Tensor, variance_GM1: Tensor, num_columns: int) -> None:
        normalization.update_running(self._statistics, layer, mean_GM1, variance_GM1, num_columns=num_columns)

    def _running_affine(self, layer: str) -> tuple[Tensor, Tensor]:
        """Return the scale and the shift that a normalisation with the running statistics applies to its inputs.

        For an input x, with the running mean mu and the inverse deviation s, the normalisation computes ``scale (x -
        mu) s + shift``. This equals ``(scale s) x + (shift - mu scale s)``.
        """
        mean_GM, variance_GM = (self._statistics[f"{layer}.running_{name}"] for name in ("mean", "var"))
        scale_GM1 = self._scale(layer) * normalization.inverse_deviation(variance_GM).unsqueeze(2)
        return scale_GM1, self._shift(layer) - mean_GM.unsqueeze(2) * scale_GM1


def _patches(images_BCHW: Tensor) -> Tensor:
    return patches.patches(images_BCHW.permute(1, 2, 3, 0).contiguous())


def _windows(patches_DHWB: Tensor) -> Windows:
    _, height, width, num_images = patches_DHWB.shape
    return Windows(patches.by_window(patches_DHWB), (height // 2, width // 2, num_images))
