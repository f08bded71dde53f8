"""Rearranged images, with which 3x3 convolutions are matrix products and 2x2 pooling is a maximum over long rows.

A convolution is a matrix product with the patches of its input: ``y[m, r] = sum_d W[m, d] P[d, r]``, where column r of
P contains the nine pixels around position r in each channel. The images of a batch are the innermost dimension, so that
rows of P consist of long runs of memory.

Shape suffixes: ... = students, if there are any; G = students, C = channels, M = maps, H W = image size, B = batch, D =
9 * C: inputs of one output of a convolution, R = columns: positions of all images.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_SIZE: Final = 3
"""The height and width of the kernel of a convolution, whose input is padded by one pixel on each side."""

_WINDOW: Final = 4
"""The number of pixels in a pooling window."""


def patches(maps: Tensor) -> Tensor:
    """Return, for each output of a convolution, the inputs from which this output is computed.

    Args:
        maps: The input of the convolution, of shape (..., C, H, W, B).

    Returns:
        The patch around each position, of shape (..., D, H, W, B).
    """
    *leading, num_channels, height, width, num_images = maps.shape
    padded = F.pad(maps, (0, 0, 1, 1, 1, 1))
    # Windows of the size of the image at each of the nine shifts: (..., C, 3, 3, B, H, W).
    shifted = padded.unfold(-3, height, 1).unfold(-3, width, 1)
    return shifted.movedim(-3, -1).reshape(*leading, num_channels * _SIZE**2, height, width, num_images)


def patches_backward(grad: Tensor) -> Tensor:
    """Return the gradient of the maps that ``patches`` received.

    ``patches`` copies each pixel into every patch that contains the pixel. The gradient of a pixel is therefore the sum
    of the gradients of its copies. ``grad`` is the gradient of the patches, of shape (..., D, H, W, B).
    """
    *leading, num_inputs, height, width, num_images = grad.shape
    grad = grad.view(*leading, num_inputs // _SIZE**2, _SIZE, _SIZE, height, width, num_images)
    padded = grad.new_zeros(*leading, num_inputs // _SIZE**2, height + 2, width + 2, num_images)
    for row in range(_SIZE):
        for column in range(_SIZE):
            shifted = padded.narrow(-3, row, height).narrow(-2, column, width)
            shifted.add_(grad.select(-4, column).select(-4, row))
    return padded[..., 1:-1, 1:-1, :]


def by_window(columns: Tensor) -> Tensor:
    """Reorder pixels by their position in the 2x2 pooling windows.

    A last odd row or column, which belongs to no window, is dropped.

    Args:
        columns: The pixels, of shape (..., H, W, B).

    Returns:
        The pixels, of shape (..., 4 * R): first the first pixel of every window, then the second pixel of every window,
            and so on.
    """
    *leading, height, width, num_images = columns.shape
    rows, breadth = height // 2, width // 2
    whole = columns[..., : 2 * rows, : 2 * breadth, :]
    windows = whole.reshape(*leading, rows, 2, breadth, 2, num_images)
    return windows.movedim((-4, -2), (-5, -4)).reshape(*leading, 4 * rows * breadth * num_images)


def max_pool(windows_GMR: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of each pooling window, and its position in the window for ``max_pool_backward``.

    The results have a quarter of the columns. Among equal values the first one is chosen, as in
    ``torch.nn.MaxPool2d``.

    Args:
        windows_GMR: The maps, in the order of ``by_window``.
    """
    # In the order of by_window, the positions of a window are R / 4 columns apart: a column of an image of height 4.
    largest, positions = F.max_pool2d(_as_images(windows_GMR), (_WINDOW, 1), return_indices=True)
    return largest.permute(0, 2, 3, 1).reshape(*windows_GMR.shape[:2], -1), positions


def max_pool_backward(grad_GMR: Tensor, windows_GMR: Tensor, positions: Tensor) -> Tensor:
    """Return the gradient of the windows, given the gradient of their maxima.

    The gradient of a maximum belongs to the position of the maximum; the gradient at all other positions is 0.
    """
    grad: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        grad_GMR.reshape(-1, 1, 1, grad_GMR.shape[2]).permute(0, 3, 1, 2),
        _as_images(windows_GMR),
        kernel_size=[_WINDOW, 1],
        stride=[_WINDOW, 1],
        padding=[0, 0],
        dilation=[1, 1],
        ceil_mode=False,
        indices=positions,
    )
    return grad.permute(0, 2, 3, 1).reshape(windows_GMR.shape)


def _as_images(windows_GMR: Tensor) -> Tensor:
    """Return a view of the windows as images of height 4 and width 1, with the windows as channels.

    The channels are innermost in memory, and in this layout torch's pooling processes several of them at once.
    """
    return windows_GMR.view(-1, _WINDOW, 1, windows_GMR.shape[2] // _WINDOW).permute(0, 3, 1, 2)
