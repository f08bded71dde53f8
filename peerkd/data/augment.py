"""Batched augmentation, on the device of the tensors.

The view of a sample depends only on the seed, the epoch and the index of the sample, not on the batch, the order of the
samples or the network. Two networks therefore see the same view of a sample in the same epoch. The logits of a teacher
can thus be computed once and used for several students, without any approximation.

Shape suffixes: N = samples of the data set, B = batch, C = channels, H W = image size.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from peerkd.data.boxes import draw_boxes, resize_boxes, stream_generator


class Views(NamedTuple):
    """The crop or box and the flip of every sample of a data set in one epoch."""

    offsets_y_N: Tensor
    """The first row of each crop in the padded image: uint8 in ``[0, 2 * crop_padding_pixels]``."""
    offsets_x_N: Tensor
    """The first column of each crop in the padded image: uint8 in ``[0, 2 * crop_padding_pixels]``."""
    flips_N: Tensor
    """Whether each sample is mirrored left to right after the crop: bool."""
    crop_padding_pixels: int
    horizontal_flip: bool
    """Whether ``flips_N`` may contain True. This flag makes it unnecessary to read ``flips_N`` from the device."""
    boxes_N4: Tensor | None = None
    """Top, left, height and width of each resized crop, as fractions of the image's height and width: float32."""

    def to(self, device: torch.device | str) -> "Views":
        """Return the same views on ``device``. Call this once per epoch, not once per batch."""
        return self._replace(
            offsets_y_N=self.offsets_y_N.to(device),
            offsets_x_N=self.offsets_x_N.to(device),
            flips_N=self.flips_N.to(device),
            boxes_N4=None if self.boxes_N4 is None else self.boxes_N4.to(device),
        )


def draw_views(
    num_samples: int,
    *,
    seed: int,
    epoch: int,
    crop_padding_pixels: int,
    horizontal_flip: bool,
    resized_crop_min_area_fraction: float | None = None,
) -> Views:
    """Draw the views of all samples in one epoch, on the CPU.

    Offsets are uniform and flips have probability 1/2 (the recipe of He et al.
    2016, section 4.2); boxes come from ``draw_boxes``. Each kind of draw has its
    own random stream, so sample ``i`` gets the same view whatever ``num_samples`` is.

    Args:
        num_samples: The number of samples, N, at least 0.
        seed: The seed of all draws, at least 0.
        epoch: The number of the epoch, from 0.
        crop_padding_pixels: Zeros added on each side before the crop, 0 to 127; 0 crops nothing.
        horizontal_flip: Whether samples may be mirrored left to right.
        resized_crop_min_area_fraction: Smallest area of a box as a fraction of the image's area, above 0 and at most
            1; None draws no boxes.

    Raises:
        ValueError: If a number is out of range or both kinds of crop are requested.
    """
    if not 0 <= crop_padding_pixels <= 127:
        raise ValueError(f"crop_padding_pixels must be from 0 to 127, got {crop_padding_pixels}.")
    if resized_crop_min_area_fraction is not None and crop_padding_pixels > 0:
        raise ValueError(
            f"crop_padding_pixels must be 0 when resized_crop_min_area_fraction is set, got {crop_padding_pixels}."
        )

    def draw(stream: int, num_values: int) -> Tensor:
        values = stream_generator(seed, epoch, stream).integers(num_values, size=num_samples, dtype=np.uint8)
        return torch.from_numpy(values)

    boxes_N4 = None
    if resized_crop_min_area_fraction is not None:
        boxes_N4 = draw_boxes(num_samples, seed=seed, epoch=epoch, min_area_fraction=resized_crop_min_area_fraction)
    return Views(
        offsets_y_N=draw(0, 2 * crop_padding_pixels + 1),
        offsets_x_N=draw(1, 2 * crop_padding_pixels + 1),
        flips_N=draw(2, 2 if horizontal_flip else 1).bool(),
        crop_padding_pixels=crop_padding_pixels,
        horizontal_flip=horizontal_flip,
        boxes_N4=boxes_N4,
    )


def apply_views(images_BCHW: Tensor, views: Views, indices_B: Tensor) -> Tensor:
    """Return a batch of images after the views of one epoch have been applied, with the same shape and dtype.

    An image is padded with zeros and cropped or, if the views have boxes, cropped to its box and resized. It is then
    mirrored if its view says so.

    Args:
        images_BCHW: Pixels of the samples ``indices_B``: uint8, or any dtype if ``views`` has no boxes.
        views: Views of the whole data set, on the device of the images.
        indices_B: Index of each image in the data set, on the device of the images.
    """
    if views.boxes_N4 is not None:
        flips_B = views.flips_N[indices_B] if views.horizontal_flip else None
        return resize_boxes(images_BCHW, views.boxes_N4[indices_B], flips_B=flips_B)
    padding = views.crop_padding_pixels
    if padding == 0 and not views.horizontal_flip:
        return images_BCHW
    num_channels, height, width = images_BCHW.shape[1:]
    device = images_BCHW.device
    padded_BCHW = F.pad(images_BCHW, (padding, padding, padding, padding))
    padded_width = width + 2 * padding

    rows_BH = views.offsets_y_N[indices_B].long()[:, None] + torch.arange(height, device=device)
    columns_W = torch.arange(width, device=device)
    # A mirrored crop is the same crop with its columns read backwards.
    columns_BW = torch.where(views.flips_N[indices_B][:, None], columns_W.flip(0), columns_W)
    columns_BW = columns_BW + views.offsets_x_N[indices_B][:, None]
    pixels_BHW = rows_BH[:, :, None] * padded_width + columns_BW[:, None, :]
    # A single gather over flattened planes is faster than advanced indexing of four axes and gives the same result.
    pixels_BCP = pixels_BHW.flatten(1)[:, None, :].expand(-1, num_channels, -1)
    return padded_BCHW.flatten(2).gather(2, pixels_BCP).view_as(images_BCHW)


def normalize(images_BCHW: Tensor, *, mean_C: Tensor, std_C: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return ``(images / 255 - mean) / std``, computed in float32 and returned as ``dtype``.

    Args:
        images_BCHW: uint8.
        mean_C: Mean of each channel for pixels in 0..1; float32. It is already on the device of the images, so that no
            training step has to copy the mean to this device.
        std_C: Standard deviation of each channel for pixels in 0..1, above 0; float32, on the device of the images.
        dtype: Type of the result.
    """
    mean_C11, std_C11 = mean_C[:, None, None], std_C[:, None, None]
    # All operations after the first copy are in place: on the CPU, allocating memory takes longer than the arithmetic.
    unit_BCHW = images_BCHW.to(torch.float32, copy=True).div_(255)
    return unit_BCHW.sub_(mean_C11).div_(std_C11).to(dtype)
