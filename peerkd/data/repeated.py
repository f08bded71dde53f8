"""Images that occur more than once in a data set, such as a photo that two hospitals have.

Shape suffixes: N = samples, B = batch, C = channels, H W = image size.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from peerkd.arrays import IntArray

_BLOCK_BYTES: Final = 2**26
_DIGEST_BYTES: Final = 16


def content_numbers(
    read: Callable[[IntArray], npt.NDArray[np.uint8]], indices_N: IntArray, *, image_shape_CHW: Sequence[int]
) -> IntArray:
    """Return a number for each image, of shape (N,).

    Two images have the same number if all their pixels are equal, and different numbers otherwise.

    Args:
        read: A function that returns the images of the given samples, of shape (B, C, H, W).
        indices_N: The samples. They are read in blocks.
        image_shape_CHW: The shape of every image.
    """
    num_per_block = max(1, _BLOCK_BYTES // math.prod(image_shape_CHW))
    digests = [
        hashlib.blake2b(image_CHW.tobytes(), digest_size=_DIGEST_BYTES).digest()
        for start in range(0, len(indices_N), num_per_block)
        for image_CHW in read(indices_N[start : start + num_per_block])
    ]
    number_of = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
    return np.array([number_of[digest] for digest in digests], dtype=np.int64)
