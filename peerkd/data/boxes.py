"""Random resized crops: a box of random size and shape, resized to the size of the image (Szegedy et al. 2015).

The boxes are drawn as in torchvision's ``RandomResizedCrop`` (uniform area, log-uniform aspect ratio, uniform position)
with two differences. First, a box always fits into the image, whereas torchvision repeats the draw up to ten times.
Second, a box is given by fractions of the image's height and width and not by whole numbers of pixels, so a box does
not depend on the image size. The aspect ratio of a box is therefore relative to the aspect ratio of the image. This
makes no difference for square images.

Shape suffixes: N = samples of the data set, B = batch, C = channels, H W = image size.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MAX_ASPECT_RATIO = 4 / 3
"""The largest ratio of width to height; the smallest is its inverse."""


def stream_generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """Return the random generator for one kind of draw in one epoch, such as all flips or all boxes.

    Args:
        seed: The seed of the augmentation.
        epoch: The epoch, from 0.
        stream: The number of the kind of draw. Different kinds have independent random numbers.
    """
    # The spawn key separates (seed, epoch, stream) from every other triple; a flat list of integers would not.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch, stream))))


def draw_boxes(num_samples: int, *, seed: int, epoch: int, min_area_fraction: float) -> Tensor:
    """Return a box for every sample, float32 of shape (N, 4): top, left, height and width, as fractions of the image.

    The area of a box, as a fraction of the image's area, is uniform in ``[min_area_fraction, 1]``. The logarithm of its
    aspect ratio is uniform in the part of ``[log 3/4, log 4/3]`` for which a box with this area fits into the image.

    Args:
        num_samples: The number of samples, N, at least 0.
        seed: The seed of all draws, at least 0.
        epoch: The number of the epoch, from 0.
        min_area_fraction: The smallest area of a box as a fraction of the image's area, above 0 and at most 1.

    Raises:
        ValueError: If ``min_area_fraction`` is out of range.
    """
    if not 0 < min_area_fraction <= 1:
        raise ValueError(f"resized_crop_min_area_fraction must be above 0 and at most 1, got {min_area_fraction}.")
    # Streams 0, 1 and 2 belong to the crops and flips.
    area_N, ratio_N, y_N, x_N = (stream_generator(seed, epoch, stream).random(num_samples) for stream in (3, 4, 5, 6))
    area_N = min_area_fraction + (1 - min_area_fraction) * area_N
    # height = sqrt(area / ratio) and width = sqrt(area * ratio) are at most 1 for ratios from area to 1 / area.
    log_limit_N = np.minimum(np.log(MAX_ASPECT_RATIO), -np.log(area_N))
    ratio_N = np.exp((2 * ratio_N - 1) * log_limit_N)
    height_N = np.minimum(np.sqrt(area_N / ratio_N), 1)
    width_N = np.minimum(np.sqrt(area_N * ratio_N), 1)
    boxes_N4 = np.stack([y_N * (1 - height_N), x_N * (1 - width_N), height_N, width_N], axis=1)
    return torch.from_numpy(boxes_N4.astype(np.float32))


def resize_boxes(images_BCHW: Tensor, boxes_B4: Tensor, *, flips_B: Tensor | None = None) -> Tensor:
    """Return the part of each image that its box covers, resized to H x W by bilinear interpolation, uint8.

    Let ``left`` and ``width`` be the left edge and the width of a box, as fractions of the image's width W. Column
    ``j`` of the result, counted from 0, is sampled at the middle of the ``j``-th of W equal strips of the box. The
    distance from the centre of the image's first column is ``W * left + width * (j + 1/2) - 1/2`` pixels. A position
    that is closer than half a pixel to an edge of the box is moved to half a pixel from this edge. The result is
    therefore the same as if the image were cropped first and resized afterwards. Rows are sampled in the same way.
    Antialiasing is not needed, because a box is no larger than the image and is never scaled down. Values are rounded,
    half to even.

    Args:
        images_BCHW: uint8.
        boxes_B4: Boxes from ``draw_boxes``, on the device of the images.
        flips_B: Whether each image is mirrored left to right after the crop: bool. None mirrors none.
    """
    height, width = images_BCHW.shape[2:]
    top_B1, left_B1, height_B1, width_B1 = boxes_B4.unsqueeze(2).unbind(1)
    rows_BH = _sampling_positions(top_B1, height_B1, num_pixels=height)
    columns_BW = _sampling_positions(left_B1, width_B1, num_pixels=width)
    if flips_B is not None:
        columns_BW = torch.where(flips_B[:, None], columns_BW.flip(1), columns_BW)
    grid_BHW2 = torch.stack(
        [columns_BW[:, None, :].expand(-1, height, -1), rows_BH[:, :, None].expand(-1, -1, width)], dim=3
    )
    resized_BCHW = F.grid_sample(
        images_BCHW.float(), grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False
    )
    return resized_BCHW.round_().to(torch.uint8)


def _sampling_positions(start_B1: Tensor, size_B1: Tensor, *, num_pixels: int) -> Tensor:
    """Return the positions to sample along one axis. The two edges of the image are at -1 and 1.

    The function ``grid_sample`` of torch measures positions in this way. The start and the size of a box are fractions
    of the image.
    """
    steps = (torch.arange(num_pixels, device=start_B1.device) + 0.5) / num_pixels
    half_pixel = 0.5 / num_pixels
    positions = start_B1 + size_B1 * steps
    positions = torch.minimum(torch.maximum(positions, start_B1 + half_pixel), start_B1 + size_B1 - half_pixel)
    return 2 * positions - 1
