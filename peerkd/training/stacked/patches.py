"""Inputs of 3x3 convolutions and 2x2 pooling, gathered so that both become products and reductions over long rows.

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
"""Height and width of a convolution's kernel, which extends over the border by one."""

_WINDOW: Final = 4
"""The number of positions in a pooling window."""


def patches(maps: Tensor) -> Tensor:
    """Return the inputs of each output of a convolution, ``(..., D, H, W, B)`` of ``(..., C, H, W, B)``."""
    *leading, num_channels, height, width, num_images = maps.shape
    padded = F.pad(maps, (0, 0, 1, 1, 1, 1))
    # Windows of the size of the image at each of the nine shifts: (..., C, 3, 3, B, H, W).
    shifted = padded.unfold(-3, height, 1).unfold(-3, width, 1)
    return shifted.movedim(-3, -1).reshape(*leading, num_channels * _SIZE**2, height, width, num_images)


def patches_backward(grad: Tensor) -> Tensor:
    """Return the gradient of the maps that ``patches`` received: for each pixel, the sum over its patches.

    ``patches`` copies pixels, so its gradient is its transpose: every copy's gradient is added to the pixel.
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
    """Return ``(..., 4 * R)`` of ``(..., H, W, B)``: the first position of every 2x2 window, then the second, ...

    A last odd row or column, which belongs to no window, is dropped.
    """
    *leading, height, width, num_images = columns.shape
    rows, breadth = height // 2, width // 2
    whole = columns[..., : 2 * rows, : 2 * breadth, :]
    windows = whole.reshape(*leading, rows, 2, breadth, 2, num_images)
    return windows.movedim((-4, -2), (-5, -4)).reshape(*leading, 4 * rows * breadth * num_images)


def max_pool(windows_GMR: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window, a quarter of the columns, and its position for ``max_pool_backward``.

    Among equal values the first one is chosen, as in ``torch.nn.MaxPool2d``.

    Args:
        windows_GMR: Maps in the order of ``by_window``.
    """
    # In the order of by_window, the positions of a window are R / 4 columns apart: a column of an image of height 4.
    largest, positions = F.max_pool2d(_as_images(windows_GMR), (_WINDOW, 1), return_indices=True)
    return largest.permute(0, 2, 3, 1).reshape(*windows_GMR.shape[:2], -1), positions


def max_pool_backward(grad_GMR: Tensor, windows_GMR: Tensor, positions: Tensor) -> Tensor:
    """Return the gradient of the windows, given that of their maxima, which goes to the position of each maximum."""
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
    """Return a view in which torch sees images of height 4, width 1 and many channels, with the channels innermost.

    In this layout torch's loop processes several channels at once.
    """
    return windows_GMR.view(-1, _WINDOW, 1, windows_GMR.shape[2] // _WINDOW).permute(0, 3, 1, 2)
