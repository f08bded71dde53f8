"""What 3x3 convolutions and 2x2 pooling read, gathered so that they become products and reductions of long rows.

Images of a batch are innermost: rows of a patch matrix then consist of long runs of memory.

Shape suffixes: ... = students, where there are any; G = students, C = channels, M = maps, H W = image size, B = batch,
D = 9 * C: inputs of one output of a convolution, R = columns: positions of all images.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_SIZE: Final = 3
"""Of a convolution's kernel, which reaches over the border by one."""

_WINDOW: Final = 4
"""Positions of a pooling window."""


def patches(maps: Tensor) -> Tensor:
    """Return what each output of a convolution reads, ``(..., D, H, W, B)`` of ``(..., C, H, W, B)``; zeros outside."""
    *leading, num_channels, height, width, num_images = maps.shape
    padded = F.pad(maps, (0, 0, 1, 1, 1, 1))
    # Windows as large as the image, at each of the nine shifts: (..., C, 3, 3, B, H, W).
    shifted = padded.unfold(-3, height, 1).unfold(-3, width, 1)
    return shifted.movedim(-3, -1).reshape(*leading, num_channels * _SIZE**2, height, width, num_images)


def patches_backward(grad: Tensor) -> Tensor:
    """Return the gradient of the maps that ``patches`` was given: of each pixel, the sum over the patches it is in."""
    *leading, num_inputs, height, width, num_images = grad.shape
    grad = grad.view(*leading, num_inputs // _SIZE**2, _SIZE, _SIZE, height, width, num_images)
    padded = grad.new_zeros(*leading, num_inputs // _SIZE**2, height + 2, width + 2, num_images)
    for row in range(_SIZE):
        for column in range(_SIZE):
            shifted = padded.narrow(-3, row, height).narrow(-2, column, width)
            shifted.add_(grad.select(-4, column).select(-4, row))
    return padded[..., 1:-1, 1:-1, :]


def by_window(columns: Tensor) -> Tensor:
    """Return ``(..., 4 * R)`` of ``(..., H, W, B)``: first what is first in each 2x2 window, then what is second.

    A last odd row or column, which no window reads, is left out.
    """
    *leading, height, width, num_images = columns.shape
    rows, breadth = height // 2, width // 2
    whole = columns[..., : 2 * rows, : 2 * breadth, :]
    windows = whole.reshape(*leading, rows, 2, breadth, 2, num_images)
    return windows.movedim((-4, -2), (-5, -4)).reshape(*leading, 4 * rows * breadth * num_images)


def max_pool(windows_GMR: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest of each window, a quarter of the columns, and for ``max_pool_backward`` which it was.

    Of equals it is the first, as in ``torch.nn.MaxPool2d``.

    Args:
        windows_GMR: Maps in the order of ``by_window``.
    """
    largest, places = F.max_pool2d(_as_images(windows_GMR), (_WINDOW, 1), return_indices=True)
    return largest.permute(0, 2, 3, 1).reshape(*windows_GMR.shape[:2], -1), places


def max_pool_backward(grad_GMR: Tensor, windows_GMR: Tensor, places: Tensor) -> Tensor:
    """Return the gradient of the windows, from that of the largest of each."""
    grad: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        grad_GMR.reshape(-1, 1, 1, grad_GMR.shape[2]).permute(0, 3, 1, 2),
        _as_images(windows_GMR),
        kernel_size=[_WINDOW, 1],
        stride=[_WINDOW, 1],
        padding=[0, 0],
        dilation=[1, 1],
        ceil_mode=False,
        indices=places,
    )
    return grad.permute(0, 2, 3, 1).reshape(windows_GMR.shape)


def _as_images(windows_GMR: Tensor) -> Tensor:
    """Return a view that is to torch images of height 4, width 1 and many channels, which are innermost.

    For such it has a loop over the channels that does several at once.
    """
    return windows_GMR.view(-1, _WINDOW, 1, windows_GMR.shape[2] // _WINDOW).permute(0, 3, 1, 2)
