"""Random resized crops: a box of random size and shape, resized to the size of the image (Szegedy et al. 2015).

It follows torchvision's ``RandomResizedCrop`` (area uniform, aspect ratio log-uniform, place uniform) but for two
things. A box fits into the image by construction, where torchvision draws both numbers again, up to ten times. And a
box is a fraction of the image, in no whole pixels, so that it depends on no image's size; its aspect ratio is thereby
relative to the image's own, which for square images is the same.

N samples of the data set, B batch, C channels, H W height and width.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MAX_ASPECT_RATIO = 4 / 3
"""Of width to height; the smallest is its inverse."""


def stream_generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """Return the generator of one stream of draws of one epoch; see ``peerkd.data.augment.draw_views``."""
    # The spawn key keeps (seed, epoch, stream) apart from every other triple; a flat list of words would not.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch, stream))))


def draw_boxes(num_samples: int, *, seed: int, epoch: int, min_area_fraction: float) -> Tensor:
    """Return a box for every sample, float32 of shape (N, 4): top, left, height and width, as fractions of the image.

    The area is uniform in ``[min_area_fraction, 1]``; the logarithm of the aspect ratio is uniform in that part of
    ``[log 3/4, log 4/3]`` for which the box fits into the image.

    Args:
        num_samples: N, at least 0.
        seed: At least 0.
        epoch: At least 0.
        min_area_fraction: Above 0 and at most 1.

    Raises:
        ValueError: If ``min_area_fraction`` is out of range.
    """
    if not 0 < min_area_fraction <= 1:
        raise ValueError(f"resized_crop_min_area_fraction must lie in (0, 1], got {min_area_fraction}.")
    # Streams 0, 1 and 2 are those of the crops and flips.
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
    """Return each image's box, resized to H x W by bilinear interpolation, uint8.

    Column ``j`` of W is taken at ``W * left + width * (j + 1/2) - 1/2``, counted in pixels from the centre of the
    first, but at least half a pixel inside the box; rows alike. That is what cropping before resizing gives. There is
    no antialiasing: a box, being no larger than the image, is never made smaller. Values are rounded, half to even.

    Args:
        images_BCHW: uint8.
        boxes_B4: As ``draw_boxes`` returns them, on the device of the images.
        flips_B: bool: mirror left to right, after the crop.
    """
    height, width = images_BCHW.shape[2:]
    top_B1, left_B1, height_B1, width_B1 = boxes_B4.unsqueeze(2).unbind(1)
    rows_BH = _places(top_B1, height_B1, num_pixels=height)
    columns_BW = _places(left_B1, width_B1, num_pixels=width)
    if flips_B is not None:
        columns_BW = torch.where(flips_B[:, None], columns_BW.flip(1), columns_BW)
    grid_BHW2 = torch.stack(
        [columns_BW[:, None, :].expand(-1, height, -1), rows_BH[:, :, None].expand(-1, -1, width)], dim=3
    )
    resized_BCHW = F.grid_sample(
        images_BCHW.float(), grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False
    )
    return resized_BCHW.round_().to(torch.uint8)


def _places(start_B1: Tensor, size_B1: Tensor, *, num_pixels: int) -> Tensor:
    """Return where along one axis to sample, in the units of ``grid_sample``: -1 and 1 are the image's edges."""
    steps = (torch.arange(num_pixels, device=start_B1.device) + 0.5) / num_pixels
    half_pixel = 0.5 / num_pixels
    places = start_B1 + size_B1 * steps
    places = torch.minimum(torch.maximum(places, start_B1 + half_pixel), start_B1 + size_B1 - half_pixel)
    return 2 * places - 1
