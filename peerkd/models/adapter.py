"""An adapter for networks that were trained outside peerkd.

Such a network may expect images of another size or normalisation than the study has, or know other classes.

The adapter is a pair of hooks on the user's module. Hooks do not rename parameters or buffers, so the ``state_dict`` of
the module stays the same.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes of the study, L = classes of the network.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT
from peerkd.models.memory_format import laid_out

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in a grey image (ITU-R BT.601). Pillow uses them to convert images to mode L."""


class OutputError(ValueError):
    """A network with an adapter returns something other than one logit for each of its classes."""


class Normalization:
    """The normalisation of images: ``(pixels - mean) / std`` of each channel, for pixels in 0..1."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = tuple(mean), tuple(std)
        self._constants = cache(self._make_constants)

    @property
    def num_channels(self) -> int:
        """The number of channels, C."""
        return len(self.mean)

    def apply(self, pixels_BCHW: Tensor) -> Tensor:
        """Return images normalised from pixels in 0..1."""
        mean, std = self._constants(pixels_BCHW.device)
        return (pixels_BCHW - mean) / std

    def invert(self, images_BCHW: Tensor) -> Tensor:
        """Return the pixels of normalised images, in 0..1. This is the inverse of ``apply``."""
        mean, std = self._constants(images_BCHW.device)
        return images_BCHW * std + mean

    def _make_constants(self, device: torch.device) -> tuple[Tensor, Tensor]:
        # The first call may be an evaluation, whose tensors could not be used in training.
        with torch.inference_mode(False):
            mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return mean, std


def adapt_input(
    network: nn.Module, *, study: Normalization, own: Normalization | None, image_size_pixels: int | None
) -> None:
    """Make a network convert its inputs in every call, so that it can be called with images of the study.

    Args:
        network: The network, which is changed in place.
        study: The normalisation of the study's images.
        own: The normalisation that the network was trained with; None means ``study``. If ``own`` has one channel and
            ``study`` has three, images are converted to grey. If ``own`` has three channels and ``study``
            has one, the channel is repeated.
        image_size_pixels: The side of the square to which images are resized, bilinearly and with antialiasing. None:
            images keep their size.
    """

    def convert(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        images_BCHW, *others = arguments
        own_BCHW = convert_images(images_BCHW, study=study, own=own, image_size_pixels=image_size_pixels)
        return laid_out(own_BCHW), *others

    network.register_forward_pre_hook(convert)


def convert_images(
    images_BCHW: Tensor, *, study: Normalization, own: Normalization | None, image_size_pixels: int | None
) -> Tensor:
    """Convert images of a study to the size and normalisation that a network needs.

    The arguments have the same meaning as in ``adapt_input``.
    """
    if image_size_pixels is not None and tuple(images_BCHW.shape[-2:]) != (image_size_pixels,) * 2:
        # Resizing is linear with weights that sum to 1, so it may precede the change of the normalisation.
        images_BCHW = F.interpolate(images_BCHW, size=(image_size_pixels,) * 2, mode="bilinear", antialias=True)
    if own is not None:
        images_BCHW = own.apply(_with_channels(study.invert(images_BCHW), own.num_channels))
    return images_BCHW


def adapt_output(network: nn.Module, *, classes: Sequence[int], num_classes: int) -> None:
    """Make a network convert its outputs in every call, from logits of its classes to logits of a study's classes.

    A class that the network does not know gets the logit ``MISSING_CLASS_LOGIT``. The softmax gives this class the
    probability 0.

    Args:
        network: The network, which is changed in place.
        classes: For each of the network's L outputs, the number of its class in the study, from 0. No class occurs
            twice.
        num_classes: The number of classes of the study, K.
    """

    @cache
    def places(device: torch.device) -> Tensor:
        # The first call may be an evaluation, whose tensors could not be used in training.
        with torch.inference_mode(False):
            return torch.tensor(classes, device=device)

    def convert(_: nn.Module, __: tuple[Any, ...], logits_BL: Any) -> Tensor:
        if not isinstance(logits_BL, Tensor) or logits_BL.ndim != 2 or logits_BL.shape[1] != len(classes):
            found = (
                f"shape {tuple(logits_BL.shape)}"
                if isinstance(logits_BL, Tensor)
                else f"a value of type {type(logits_BL).__name__}"
            )
            raise OutputError(f"one logit for each of its {len(classes)} classes, got {found}")
        missing_BK = logits_BL.new_full((len(logits_BL), num_classes), MISSING_CLASS_LOGIT)
        return missing_BK.index_copy(1, places(logits_BL.device), logits_BL)

    network.register_forward_hook(convert)


def _with_channels(pixels_BCHW: Tensor, num_channels: int) -> Tensor:
    match pixels_BCHW.shape[1], num_channels:
        case 3, 1:
            weights = _LUMA_WEIGHTS
            return sum(weight * pixels_BCHW[:, [channel]] for channel, weight in enumerate(weights))  # type: ignore[return-value]
        case 1, 3:
            return pixels_BCHW.expand(-1, 3, -1, -1)
    return pixels_BCHW
