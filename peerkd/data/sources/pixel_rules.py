"""The types by which other modules describe the reading of images. They need no Pillow."""

from collections.abc import Callable
from typing import Final, NamedTuple

WHITE: Final = (255, 255, 255)

ReportProgress = Callable[[int, int], None]
"""A function that is called repeatedly with the number of processed files and the number of all files."""


class PixelRules(NamedTuple):
    """Rules for converting the content of a file to RGB of 8 bits."""

    image_size_pixels: int | None = None
    """The height and width after resizing the shorter side and cropping the centre. None keeps the size."""

    pixel_range: tuple[float, float] | None = None
    """The values that become 0 and 255 in files of more than 8 bits per channel.

    None uses 0 and 4095 for 12 bits and 0 and 65535 for unsigned 16 bits, and refuses other types. PGM and PPM files
    state their own range.
    """

    background: tuple[int, int, int] = WHITE
    """The colour behind transparent pixels, in RGB."""
