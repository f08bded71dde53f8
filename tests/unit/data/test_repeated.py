"""Images that occur more than once."""

import numpy as np

from peerkd.data import repeated
from peerkd.data.repeated import content_numbers


def test_two_images_share_a_number_if_all_pixels_are_equal(monkeypatch) -> None:
    images = np.zeros((6, 1, 2, 2), np.uint8)
    images[1, 0, 0, 0] = images[4, 0, 0, 0] = 9
    images[5, 0, 1, 1] = 9
    for block_bytes in (2**20, 8):
        monkeypatch.setattr(repeated, "_BLOCK_BYTES", block_bytes)
        numbers = content_numbers(lambda indices: images[indices], np.array([0, 1, 2, 4, 5]), image_shape_CHW=(1, 2, 2))
        assert numbers.tolist() == [0, 1, 0, 1, 2]
