"""Decoding of one image file to upright RGB of 8 bits, by Pillow.

This module adds three things to Pillow. A photo is rotated according to its EXIF orientation. Transparent pixels show a
background colour. Pixels of more than 8 bits per channel are scaled from their range to 0..255, whereas Pillow would
clip grey pixels at 255 and keep only the upper byte of coloured pixels.

Shape suffixes: C = channels, H W = image size.
"""

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from peerkd.data.sources.folders import special_kind
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.data.sources.scaling import scale_to_uint8
from peerkd.data.wording import printable
from peerkd.errors import DataSourceError

try:
    from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
except ModuleNotFoundError as error:
    raise DataSourceError("Reading images needs Pillow, which is not installed here; install peerkd[data].") from error

_TWELVE_BITS: Final = (0.0, 4_095.0)
_SIXTEEN_BITS: Final = (0.0, 65_535.0)
_BITS: Final = 258  # The tag of a TIFF with the bits of each channel.
_PHOTOMETRIC: Final = 262  # The tag that states whether the value 0 is white (0) or black (1).
_PLANES: Final = 284  # The tag that states whether the channels are interleaved (1) or stored one after the other (2).
_NUMBERS: Final = 339  # The tag that states whether the values of each channel are unsigned (1) or signed (2).
# The largest image that Pillow accepts is smaller: 179 million pixels with 4 channels of 16 bits.
_MAX_FILE_BYTES: Final = 2**31
_LARGE_PIXELS: Final = 2**24
_MAX_PIXELS_PER_BYTE: Final = 1_000  # The limit for large images. A blank PNG has 340.
_MAX_REASON_LENGTH: Final = 200

# Formats that are recognised by the first bytes of a file, whatever its name. A file is opened in another format only
# if it has the suffix of that format, because some decoders accept any text as an image.
_RECOGNIZED_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")

# Formats that Pillow does not decode itself: videos, scientific containers and page descriptions.
_REFUSED_FORMATS: Final = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"))


@cache
def image_suffixes() -> Mapping[str, str]:
    """Return the names of the image formats that are accepted, keyed by the suffix of their files in lower case.

    The result is computed on demand, because Pillow imports about forty modules to list its formats.
    """
    Image.init()
    formats = {
        suffix: name
        for suffix, name in Image.registered_extensions().items()
        if name in Image.OPEN and name not in _REFUSED_FORMATS
    }
    return {**formats, ".mpo": "JPEG"}


class Decoded(NamedTuple):
    """A decoded image, with properties of its file that a user should know."""

    image: Image.Image
    """The image, in mode RGB."""

    has_more_frames: bool
    """Whether the file has further frames or pages; ``image`` is the first one."""

    brightest: float | None
    """The highest value in the file, if the file has more than 8 bits per channel and does not state its own range of
    values. None for other files."""

    is_clipped: bool
    """Whether some values are outside ``pixel_range``."""

    digest: bytes
    """The SHA-256 of the file; empty unless requested."""


class _Pixels(NamedTuple):
    image: Image.Image
    brightest: float | None = None
    is_clipped: bool = False


def decode_file(path: Path, rules: PixelRules, *, with_digest: bool = False, at_low_cost: bool = False) -> Decoded:
    """Decode the first frame of a file.

    Args:
        path: A file with any suffix.
        rules: How the content of the file becomes RGB.
        with_digest: Whether to compute the SHA-256 of the file.
        at_low_cost: Whether to decode a JPEG at an eighth of its size, which detects the same damage in a third of the
            time. The pixels must then not be used.

    Raises:
        DataSourceError: If the file is damaged or not an image. The message is the reason, without the path.
        ValueError: If the pixels of the file need a ``pixel_range``, which ``rules`` does not set. The message contains
            the path.
    """
    try:
        _check_file(os.stat(path))
        with path.open("rb") as stream:
            try:
                decoded = _decode_stream(stream, path, rules, at_low_cost=at_low_cost)
            except (MemoryError, _NoRangeError):
                raise
            # The decoders of Pillow raise almost any exception on damaged bytes.
            except Exception as error:
                raise DataSourceError(_reason(error)) from error
            if not with_digest:
                return decoded
            stream.seek(0)
            return decoded._replace(digest=hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise DataSourceError(_reason(error)) from error
    except _NoRangeError as error:
        raise ValueError(
            f"data.pixel_range must specify the values that become 0 and 255: {printable(str(path))} contains {error}."
        ) from error


class _NoRangeError(Exception):
    """The error for pixels whose range of values is unknown. The message describes the type of the pixels."""


def _check_file(status: os.stat_result) -> None:
    """Raise a ``DataSourceError`` unless a file is regular, not empty and not too large. Opening a pipe could block."""
    if not stat.S_ISREG(status.st_mode):
        raise DataSourceError(f"it is {special_kind(status.st_mode)}, not a file")
    if status.st_size == 0:
        raise DataSourceError("it is empty")
    if status.st_size > _MAX_FILE_BYTES:
        raise DataSourceError(f"it has {status.st_size:,} bytes, more than the limit of {_MAX_FILE_BYTES:,}")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return printable(text)[:_MAX_REASON_LENGTH]


def _decode_stream(stream: BinaryIO, path: Path, rules: PixelRules, *, at_low_cost: bool) -> Decoded:
    formats = list(_RECOGNIZED_FORMATS)
    own_format = image_suffixes().get(path.suffix.lower())
    if own_format is not None and own_format not in formats:
        formats.append(own_format)
    with Image.open(stream, formats=formats) as file:
        _check_size_in_header(file, os.fstat(stream.fileno()).st_size)
        if at_low_cost and rules.image_size_pixels is not None:
            file.draft(None, (1, 1))
        has_more_frames = bool(getattr(file, "is_animated", False))
        pixels = _to_rgb(file, stream, rules)
    image = pixels.image
    if rules.image_size_pixels is not None:
        size = (rules.image_size_pixels, rules.image_size_pixels)
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return Decoded(image, has_more_frames, pixels.brightest, pixels.is_clipped, b"")


def _check_size_in_header(file: Image.Image, num_bytes: int) -> None:
    """Check that a file is large enough for the image size in its header, before memory is allocated for the image.

    Pillow does not check this: it accepts any image of up to 179 million pixels, and in a TIFF, it leaves the parts
    without data black.
    """
    width, height = file.size
    num_pixels = width * height
    if num_pixels > _LARGE_PIXELS and num_pixels > _MAX_PIXELS_PER_BYTE * num_bytes:
        raise DataSourceError(f"it claims to have {width}x{height} pixels in {num_bytes:,} bytes")
    if file.format == "TIFF":
        corners = [tile.extents for tile in _tiles(file)]
        if sum((right - left) * (lower - upper) for left, upper, right, lower in corners) < num_pixels:
            raise DataSourceError(f"it has data for only a part of its {width}x{height} pixels")


def _to_rgb(file: Image.Image, stream: BinaryIO, rules: PixelRules) -> _Pixels:
    raw_mode = _raw_mode(file)
    if file.format == "TIFF":
        _check_channels(file, raw_mode)
    if raw_mode in _SWAPPED_BYTES or raw_mode == _GREY_ALPHA_16:
        return _from_16_bit_colours(file, raw_mode, stream, rules)
    # Read first, because rotating the image drops the fields of its header.
    transparent_value = file.info.get("transparency")
    full_range = _TWELVE_BITS if raw_mode == "I;12" else _SIXTEEN_BITS
    # If 0 is white in a TIFF, Pillow inverts the image if it has 8 bits per channel, but not if it has 16.
    is_inverted = file.format == "TIFF" and file.mode.startswith("I;16") and _tiff_tag(file, _PHOTOMETRIC) == 0
    image = _upright(file)
    if image.mode == "F" or image.mode.startswith("I"):
        pixels = _from_deep_grey(image, transparent_value, rules, full_range=full_range)
        return pixels._replace(image=ImageOps.invert(pixels.image)) if is_inverted else pixels
    if image.has_transparency_data:
        return _Pixels(_over_background(image.convert("RGBA"), rules.background))
    if image.mode == "LAB":
        return _Pixels(_lab_to_rgb(image))
    return _Pixels(image.convert("RGB"))


def _check_channels(file: Image.Image, raw_mode: str) -> None:
    """Refuse a TIFF with channels that Pillow would misread.

    Pillow reads signed integers of 8 bits as unsigned integers. If channels of 16 bits are stored in an unsupported
    order, Pillow reads them as single bytes.
    """
    is_deep_grey = file.mode in ("F", "I") or file.mode.startswith("I;16")
    if is_deep_grey:
        return
    if 2 in _tiff_numbers(file, _NUMBERS):
        raise DataSourceError("it contains signed integers of 8 bits; save it with unsigned integers")
    num_bits = max(_tiff_numbers(file, _BITS), default=1)
    if num_bits > 8 and (raw_mode not in _SWAPPED_BYTES or _tiff_tag(file, _PLANES) == 2):
        raise DataSourceError(
            f"it has {num_bits} bits per channel in an unsupported order; save it as RGB or RGBA with interleaved "
            "channels and without premultiplied alpha"
        )


def _upright(file: Image.Image) -> Image.Image:
    file.load()
    # A damaged tag is ignored, as image viewers do, because the pixels may be intact.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(file, in_place=True)
    return file


def _over_background(image: Image.Image, background: Sequence[int]) -> Image.Image:
    """Return an RGBA image composited over a background colour."""
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(image)
    return canvas.convert("RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    assert converted is not None
    return converted


def _tiff_tag(file: Image.Image, tag: int) -> Any:
    return getattr(file, "tag_v2", {}).get(tag)


def _tiff_numbers(file: Image.Image, tag: int) -> tuple[int, ...]:
    value = _tiff_tag(file, tag)
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _from_deep_grey(
    image: Image.Image, transparent_value: Any, rules: PixelRules, *, full_range: tuple[float, float]
) -> _Pixels:
    """Return an RGB image from one grey channel of more than 8 bits, after scaling its values to 0..255."""
    values_HW = np.asarray(image)
    if image.format == "PPM" and image.mode == "I":
        # Pillow has already scaled the maximum that the file states to 65535.
        pixels = _scaled(values_HW, None, _SIXTEEN_BITS)._replace(brightest=None)
    elif image.mode.startswith("I;16"):
        pixels = _scaled(values_HW, rules.pixel_range, full_range)
    elif rules.pixel_range is None:
        raise _NoRangeError("floating-point numbers" if image.mode == "F" else "signed integers or integers of 32 bits")
    else:
        pixels = _scaled(values_HW, rules.pixel_range, full_range)
    if isinstance(transparent_value, int):
        pixels_HW = np.asarray(pixels.image)
        alpha_HW = np.where(values_HW == transparent_value, 0, 255).astype(np.uint8)
        rgba_HW4 = np.dstack([pixels_HW, pixels_HW, pixels_HW, alpha_HW])
        return pixels._replace(image=_over_background(Image.fromarray(rgba_HW4), rules.background))
    return pixels._replace(image=pixels.image.convert("RGB"))


def _scaled(values: np.ndarray, pixel_range: tuple[float, float] | None, full_range: tuple[float, float]) -> _Pixels:
    """Return values scaled linearly to 0..255 from ``pixel_range``, or from ``full_range`` if the former is None.

    Values outside the range become 0 or 255.
    """
    darkest, brightest = float(values.min()), float(values.max())
    if not (np.isfinite(darkest) and np.isfinite(brightest)):
        raise DataSourceError("it contains pixels that are not finite numbers")
    low, high = pixel_range or full_range
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        # A lookup table is used, because the image as float64 would take eight times the memory of the result.
        levels = scale_to_uint8(np.arange(2**16), low, high)[values]
    else:
        levels = scale_to_uint8(values, low, high)
    return _Pixels(Image.fromarray(levels), brightest, is_clipped=darkest < low or brightest > high)


# Pillow keeps only the upper byte of a channel of 16 bits. The unpacker for the other byte order keeps the lower byte,
# so reading a file twice, once with each unpacker, gives both bytes. The name of an unpacker ends with L for little
# endian, B for big endian and N for the order of this machine.
_NATIVE, _FOREIGN = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_SWAPPED_BYTES: Final = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBA", "RGBX")
    for order, other in (("L", "B"), ("B", "L"), ("N", _FOREIGN))
}

# This format exists in one byte order only. The four bytes of a pixel, two for grey and two for alpha, are read as four
# channels.
_GREY_ALPHA_16: Final = "LA;16B"


def _raw_mode(file: Image.Image) -> str:
    """Return Pillow's raw mode, the name of the layout of a pixel in the file.

    The name is empty if it is unknown or differs between tiles.
    """
    arguments = {tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0] for tile in _tiles(file)}
    only = next(iter(arguments)) if len(arguments) == 1 else ""
    return only if isinstance(only, str) else ""


def _tiles(file: Image.Image) -> list[Any]:
    return list(getattr(file, "tile", ()))


def _set_raw_mode(file: Image.Image, raw_mode: str) -> None:
    tiles = [
        tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:]))
        for tile in _tiles(file)
    ]
    file.tile = tiles  # type: ignore[attr-defined]


def _from_16_bit_colours(file: Image.Image, raw_mode: str, stream: BinaryIO, rules: PixelRules) -> _Pixels:
    """Return an RGB image from channels of 16 bits. The alpha channel is always scaled from its full range."""
    transparent_value = file.info.get("transparency")
    if raw_mode == _GREY_ALPHA_16:
        _set_raw_mode(file, "RGBA")
        bytes_HW4 = np.asarray(_upright(file)).astype(np.uint16)
        grey_HW, alpha_HW = (bytes_HW4[..., 0] << 8) + bytes_HW4[..., 1], (bytes_HW4[..., 2] << 8) + bytes_HW4[..., 3]
        values_HWC = np.dstack([grey_HW, grey_HW, grey_HW, alpha_HW])
    else:
        upper_HWC = np.asarray(_upright(file)).astype(np.uint16)
        stream.seek(0)
        assert file.format is not None
        with Image.open(stream, formats=[file.format]) as again:
            _set_raw_mode(again, _SWAPPED_BYTES[raw_mode])
            values_HWC = (upper_HWC << 8) + np.asarray(_upright(again))
    pixels = _scaled(values_HWC[..., :3], rules.pixel_range, _SIXTEEN_BITS)
    if values_HWC.shape[-1] == 4:
        alpha = _scaled(values_HWC[..., 3], None, _SIXTEEN_BITS).image
    elif isinstance(transparent_value, tuple):
        is_opaque_HW = (values_HWC != np.array(transparent_value)).any(axis=-1)
        alpha = Image.fromarray(np.where(is_opaque_HW, 255, 0).astype(np.uint8))
    else:
        return pixels
    image = pixels.image.copy()
    image.putalpha(alpha)
    return pixels._replace(image=_over_background(image, rules.background))
