"""A few images of each peer and class as small files, for pages that people read.

Shape suffixes: N = samples, B = the samples of one strip, C = channels, H W = image size.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from peerkd.arrays import IntArray

MAX_SIDE_PIXELS: Final = 48
"""The longest side of an image in a strip. Larger images are reduced to it."""

MAX_SAMPLES: Final = 3
"""The largest number of images in a strip."""

MAX_STRIPS: Final = 240
"""The largest number of strips of all peers together. Their files take at most 2 MB: a strip takes less than 9 kB even
if its images are noise, and photographs take a third of that."""

_MAX_CLASSES: Final = 12
_JPEG_QUALITY: Final = 80


class Strip(NamedTuple):
    """Images of one peer and class, side by side in one file."""

    peer: int
    class_index: int
    num_images: int
    media_type: str
    """``image/png`` or ``image/jpeg``."""

    data: bytes


def sample_images(
    read: Callable[[IntArray], npt.NDArray[np.uint8]], labels_N: IntArray, train: Sequence[IntArray]
) -> list[Strip]:
    """Return strips of images of each peer's most frequent classes, in the order of the peers and classes.

    With many peers, there are strips of fewer classes of each peer, and only the first ``MAX_STRIPS`` peers have
    strips.

    Args:
        read: A function that returns the images of the given samples, of shape (B, C, H, W). Images that have neither 1
            nor 3 channels have no strips.
        labels_N: The class of every sample.
        train: The samples of each peer.
    """
    num_classes = max(1, min(_MAX_CLASSES, MAX_STRIPS // max(1, len(train))))
    strips = []
    for peer, samples in enumerate(train[:MAX_STRIPS]):
        counts = np.bincount(labels_N[samples])
        frequent = np.argsort(-counts, kind="stable")[:num_classes]
        for index in np.sort(frequent[counts[frequent] > 0]).tolist():
            own = samples[labels_N[samples] == index]
            places = np.unique(np.linspace(0, len(own) - 1, MAX_SAMPLES).round().astype(np.int64))
            images_BCHW = read(own[places])
            if images_BCHW.shape[1] not in (1, 3):
                return []
            strips.append(Strip(peer, index, len(places), *_encode(images_BCHW)))
    return strips


def _encode(images_BCHW: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """Return the media type and the content of the smaller of a PNG and a JPEG file with the images side by side."""
    # Imported here because Pillow belongs to an extra.
    from PIL import Image

    small = []
    for image_CHW in images_BCHW:
        pixels: npt.NDArray[Any] = image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
        small.append(np.asarray(image))
    strip = Image.fromarray(np.concatenate(small, axis=1))
    png, jpeg = io.BytesIO(), io.BytesIO()
    strip.save(png, "PNG", optimize=True)
    strip.save(jpeg, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    files = {"image/png": png.getvalue(), "image/jpeg": jpeg.getvalue()}
    return min(files.items(), key=lambda item: len(item[1]))
