"""The pixels of every kind of file are compared with values that were calculated by hand.

C channels, H W height and width.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from peerkd.data.sources.decode_pool import decode_images
from peerkd.data.sources.decoding import decode_file
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.errors import DataSourceError

RANDOM = np.random.default_rng(0)


def decoded(path: Path, rules: PixelRules | None = None) -> npt.NDArray[np.uint8]:
    """Return the pixels of a file, of shape (H, W, 3)."""
    return np.asarray(decode_file(path, rules or PixelRules()).image)


def write_png_of_16_bits(path: Path, values_HWC: npt.NDArray[np.uint16], *, transparent: bytes = b"") -> None:
    """Write a PNG of 1, 2, 3 or 4 channels of 16 bits, with the first three filters in turn. Pillow cannot write it."""
    height, width, channels = values_HWC.shape
    rows = values_HWC.astype(">u2").reshape(height, -1).view(np.uint8).astype(np.int64)
    lines = []
    for number, row in enumerate(rows):
        left = np.concatenate([np.zeros(2 * channels, np.int64), row[: -2 * channels]])
        above = rows[number - 1] if number else np.zeros_like(row)
        filtered = row - (np.zeros_like(row), left, above)[number % 3]
        lines.append(bytes([number % 3]) + (filtered % 256).astype(np.uint8).tobytes())
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
        *([(b"tRNS", transparent)] if transparent else []),
        (b"IDAT", zlib.compress(b"".join(lines))),
        (b"IEND", b""),
    ]
    content = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def write_tiff_of_16_bits(path: Path, values_HWC: npt.NDArray[np.uint16], *, order: str, is_deflated: bool) -> None:
    """Write a TIFF of 3 or 4 channels of 16 bits in either byte order, which Pillow cannot write."""
    height, width, channels = values_HWC.shape
    pixels = values_HWC.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if is_deflated else pixels
    tags = [(256, width), (257, height), (258, 0), (259, 8 if is_deflated else 1), (262, 2), (273, 0), (277, channels)]
    tags += [(278, height), (279, len(pixels)), *([(338, 2)] if channels == 4 else [])]
    bits_offset = 8 + 2 + 12 * len(tags) + 4
    offsets = {258: bits_offset, 273: bits_offset + 2 * channels}
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, value in tags:
        is_short, count = tag in (258, 259, 262, 277, 338), channels if tag == 258 else 1
        if is_short and count == 1:
            content += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
        else:
            content += struct.pack(f"{order}HHII", tag, 3 if is_short else 4, count, offsets.get(tag, value))
    path.write_bytes(content + bytes(4) + struct.pack(f"{order}{channels}H", *[16] * channels) + pixels)


# 257 = 65535 / 255: 128 is 0.498 of a step and rounds down, 129 is 0.502 and rounds up.
DEEP = [0, 128, 129, 257, 32_768, 65_406, 65_407, 65_535]
SCALED = [0, 0, 1, 1, 128, 254, 255, 255]


@pytest.mark.parametrize("name", ["0.png", "0.tif", "big.tif", "0.jp2"])
def test_grey_of_16_bits_is_scaled_from_its_full_range(tmp_path: Path, name: str) -> None:
    values = np.array([DEEP], np.uint16)
    image = Image.fromarray(values.astype(">u2") if name == "big.tif" else values)
    image.save(tmp_path / name)
    expected = np.array([SCALED] * 3).T[None]
    np.testing.assert_array_equal(decoded(tmp_path / name), expected)
    assert decode_images([tmp_path / name], PixelRules()).tolist() == [[[SCALED]] * 3]


def test_twelve_bits_are_scaled_from_the_given_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1_000, 2_048, 4_095, 5_000]], np.uint16)).save(tmp_path / "0.png")
    found = decode_file(tmp_path / "0.png", PixelRules(pixel_range=(0, 4_095)))
    # 1000 * 255 / 4095 = 62.27, 2048 * 255 / 4095 = 127.53
    assert np.asarray(found.image)[0, :, 0].tolist() == [0, 62, 128, 255, 255]
    assert (found.brightest, found.is_clipped) == (5_000, True)
    found = decode_file(tmp_path / "0.png", PixelRules(pixel_range=(1_000, 5_100)))
    # (2048 - 1000) * 255 / 4100 = 65.18, (4095 - 1000) * 255 / 4100 = 192.49, 4000 * 255 / 4100 = 248.78
    assert np.asarray(found.image)[0, :, 0].tolist() == [0, 0, 65, 192, 249]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_and_alpha_of_16_bits_in_png_are_scaled(tmp_path: Path, channels: int) -> None:
    values_HWC = RANDOM.integers(0, 65_536, (9, 5, channels), np.uint16)
    has_alpha = channels in (2, 4)
    if has_alpha:
        values_HWC[..., -1] = 65_535
    write_png_of_16_bits(tmp_path / "0.png", values_HWC)
    colours = values_HWC[..., : channels - has_alpha]
    expected = np.broadcast_to(np.rint(colours / 257), (9, 5, 3))
    np.testing.assert_array_equal(decoded(tmp_path / "0.png"), expected)
    narrow = np.clip(np.rint((colours - 1_000.0) * 255 / 3_000), 0, 255)
    rules = PixelRules(pixel_range=(1_000, 4_000))
    np.testing.assert_array_equal(decoded(tmp_path / "0.png", rules), np.broadcast_to(narrow, (9, 5, 3)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_deflated", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_in_tiff_are_scaled(tmp_path: Path, order: str, is_deflated: bool, channels: int) -> None:
    values_HWC = RANDOM.integers(0, 65_536, (3, 5, channels), np.uint16)
    values_HWC[..., 3:] = 65_535
    write_tiff_of_16_bits(tmp_path / "0.tif", values_HWC, order=order, is_deflated=is_deflated)
    np.testing.assert_array_equal(decoded(tmp_path / "0.tif"), np.rint(values_HWC[..., :3] / 257))


def test_alpha_of_16_bits_shows_the_background(tmp_path: Path) -> None:
    write_png_of_16_bits(tmp_path / "0.png", np.array([[[0, 65_535], [65_535, 0], [25_700, 32_896]]], np.uint16))
    # Alpha 32896 / 257 = 128 and grey 100: 100 * 128 / 255 = 50.2, on black.
    assert decoded(tmp_path / "0.png", PixelRules(background=(0, 0, 0)))[0, :, 0].tolist() == [0, 0, 50]
    write_png_of_16_bits(tmp_path / "1.png", np.array([[[7], [8]]], np.uint16), transparent=struct.pack(">H", 7))
    assert decoded(tmp_path / "1.png", PixelRules(background=(9, 8, 7)))[0].tolist() == [[9, 8, 7], [0, 0, 0]]
    colours = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint16)
    write_png_of_16_bits(tmp_path / "2.png", colours, transparent=struct.pack(">HHH", 1, 2, 3))
    assert decoded(tmp_path / "2.png", PixelRules(background=(9, 8, 7)))[0].tolist() == [[9, 8, 7], [0, 0, 0]]


def patched_tiff(path: Path, tag: int, value: int) -> None:
    """Set a tag with one value in a TIFF that Pillow wrote."""
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<H", tag), 8)
    content[place + 2 : place + 12] = struct.pack("<HIHH", 3, 1, value, 0)
    path.write_bytes(content)


def test_a_negative_of_16_bits_becomes_a_positive_as_one_of_8_bits_does(tmp_path: Path) -> None:
    for name, values in (("8.tif", [[0, 1, 255]]), ("16.tif", [[0, 257, 65_535]])):
        Image.fromarray(np.array(values, np.uint8 if name == "8.tif" else np.uint16)).save(tmp_path / name)
        patched_tiff(tmp_path / name, 262, 0)
        assert decoded(tmp_path / name)[0, :, 0].tolist() == [255, 254, 0]


def write_planar_tiff(path: Path, values_CHW: npt.NDArray[np.uint8 | np.uint16]) -> None:
    """Write a TIFF of 3 separate channels, which Pillow cannot write."""
    _, height, width = values_CHW.shape
    planes = [values_HW.tobytes() for values_HW in values_CHW]
    # The bits, the offsets and the lengths of the planes are three numbers each, after the pixels.
    lists_offset = 8 + sum(map(len, planes))
    tags = [(256, 1, width), (257, 1, height), (258, 3, lists_offset), (259, 1, 1), (262, 1, 2)]
    tags += [(273, 3, lists_offset + 12), (277, 1, 3), (278, 1, height), (279, 3, lists_offset + 24), (284, 1, 2)]
    lists = [8 * values_CHW.itemsize] * 3, [8 + number * len(planes[0]) for number in range(3)], [len(planes[0])] * 3
    content = b"II*\0" + struct.pack("<I", lists_offset + 36) + b"".join(planes)
    content += b"".join(struct.pack("<3I", *each) for each in lists) + struct.pack("<H", len(tags))
    path.write_bytes(content + b"".join(struct.pack("<HHII", tag, 4, *each) for tag, *each in tags) + bytes(4))


def test_separate_channels_of_a_tiff_are_read_or_refused(tmp_path: Path) -> None:
    values_CHW = RANDOM.integers(0, 256, (3, 4, 5), np.uint8)
    write_planar_tiff(tmp_path / "8.tif", values_CHW)
    np.testing.assert_array_equal(decoded(tmp_path / "8.tif"), values_CHW.transpose(1, 2, 0))
    write_planar_tiff(tmp_path / "16.tif", values_CHW.astype(np.uint16) * 257)
    with pytest.raises(DataSourceError, match="it has 16 bits per channel in an unsupported order"):
        decoded(tmp_path / "16.tif")


def test_deep_colours_with_premultiplied_alpha_are_refused(tmp_path: Path) -> None:
    write_tiff_of_16_bits(tmp_path / "0.tif", np.ones((2, 2, 4), np.uint16), order="<", is_deflated=False)
    patched_tiff(tmp_path / "0.tif", 338, 1)
    with pytest.raises(DataSourceError, match="it has 16 bits per channel in an unsupported order"):
        decoded(tmp_path / "0.tif")


def test_signed_integers_of_8_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 255]], np.uint8)).save(tmp_path / "0.tif", tiffinfo={339: 1})
    assert decoded(tmp_path / "0.tif")[0, :, 0].tolist() == [1, 255]
    patched_tiff(tmp_path / "0.tif", 339, 2)
    with pytest.raises(DataSourceError, match="it contains signed integers of 8 bits"):
        decoded(tmp_path / "0.tif")


def test_twelve_bits_packed_in_tiff_are_scaled_from_their_full_range(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1, 4), np.uint16)).save(tmp_path / "0.tif")
    content = bytearray((tmp_path / "0.tif").read_bytes())
    content[-8:] = bytes.fromhex("000fff8003e80000")  # 0x000, 0xfff, 0x800, 0x3e8: two of them in three bytes
    (tmp_path / "0.tif").write_bytes(content)
    patched_tiff(tmp_path / "0.tif", 258, 12)
    # 2048 * 255 / 4095 = 127.5 and a little, 1000 * 255 / 4095 = 62.3
    assert decoded(tmp_path / "0.tif")[0, :, 0].tolist() == [0, 255, 128, 62]


def test_a_pgm_file_states_its_own_range(tmp_path: Path) -> None:
    (tmp_path / "0.pgm").write_bytes(b"P5 4 1 4095\n" + struct.pack(">4H", 0, 1_000, 2_048, 4_095))
    for rules in (PixelRules(), PixelRules(pixel_range=(0, 4_095))):
        assert decoded(tmp_path / "0.pgm", rules)[0, :, 1].tolist() == [0, 62, 128, 255]
    assert decode_file(tmp_path / "0.pgm", PixelRules()).brightest is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([[0.0, 0.25, 1.0]], np.float32), "floating-point numbers"),
        (np.array([[0, 25_000, 100_000]], np.int32), "signed integers or integers of 32 bits"),
    ],
)
def test_pixels_of_32_bits_are_refused_until_their_range_is_given(tmp_path, values: np.ndarray, kind: str) -> None:
    Image.fromarray(values).save(tmp_path / "0.tif")
    with pytest.raises(ValueError, match=rf"data\.pixel_range must specify the values .*0\.tif contains {kind}"):
        decode_images([tmp_path / "0.tif"], PixelRules())
    rules = PixelRules(pixel_range=(0, float(values.max())))
    assert decoded(tmp_path / "0.tif", rules)[0, :, 2].tolist() == [0, 64, 255]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_damage(tmp_path: Path, wrong: float) -> None:
    Image.fromarray(np.array([[0.5, wrong]], np.float32)).save(tmp_path / "0.tif")
    with pytest.raises(DataSourceError, match="it contains pixels that are not finite numbers"):
        decode_file(tmp_path / "0.tif", PixelRules(pixel_range=(0, 1)))


# The corners of the upright image are A top left, B top right, C bottom left and D bottom right. An orientation states
# the sides of the stored rows and columns: 6 means that the first row is the right side and the first column the top.
A, B, C, D = 10, 80, 160, 240
STORED = {
    1: [[A, B], [C, D]],
    2: [[B, A], [D, C]],
    3: [[D, C], [B, A]],
    4: [[C, D], [A, B]],
    5: [[A, C], [B, D]],
    6: [[B, D], [A, C]],
    7: [[D, B], [C, A]],
    8: [[C, A], [D, B]],
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_is_rotated_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    corners = np.array(STORED[orientation], np.uint8).repeat(16, 0).repeat(16, 1)
    wide = np.concatenate([corners, corners[-8:]]) if orientation < 5 else np.hstack([corners, corners[:, -8:]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.dstack([wide] * 3)).save(tmp_path / f"0.{suffix}", exif=exif, quality=95, lossless=True)
    upright = decoded(tmp_path / f"0.{suffix}")
    assert upright.shape == (40, 32, 3)
    found = [[upright[y, x, 0] for x in (4, 27)] for y in (4, 35)]
    np.testing.assert_allclose(np.array(found, int), [[A, B], [C, D]], atol=3)


def test_deep_and_transparent_images_are_rotated_as_well(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((np.array(STORED[6]) * 257).astype(np.uint16)).save(tmp_path / "0.png", exif=exif)
    assert decoded(tmp_path / "0.png")[..., 0].tolist() == [[A, B], [C, D]]
    rgba = np.dstack([np.array(STORED[6], np.uint8)] * 3 + [np.array([[255, 255], [0, 255]], np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "1.png", exif=exif)
    assert decoded(tmp_path / "1.png", PixelRules(background=(1, 1, 1)))[..., 0].tolist() == [[1, B], [C, D]]


def test_a_damaged_orientation_is_ignored(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12\0\x63\xff")
    np.testing.assert_array_equal(decoded(tmp_path / "0.png"), pixels)


# Alpha 128 of 255: on white 200 * 128 / 255 + 255 * 127 / 255 = 227.4, and so on; on black 200 * 128 / 255 = 100.4.
@pytest.mark.parametrize(("background", "half"), [((255, 255, 255), [227, 177, 127]), ((0, 0, 0), [100, 50, 0])])
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparent_pixels_show_the_background(tmp_path, suffix: str, background, half: list[int]) -> None:
    image = Image.new("RGBA", (3, 1), (200, 100, 0, 255))
    image.putpixel((1, 0), (200, 100, 0, 128))
    image.putpixel((2, 0), (200, 100, 0, 0))
    image.save(tmp_path / f"0.{suffix}", lossless=True, exact=True)
    found = decoded(tmp_path / f"0.{suffix}", PixelRules(background=background))[0]
    assert found[0].tolist() == [200, 100, 0]
    assert found[1].tolist() == half
    assert found[2].tolist() == list(background)


def test_the_default_background_is_white(tmp_path: Path) -> None:
    Image.new("LA", (1, 1), (7, 0)).save(tmp_path / "0.png")
    assert decoded(tmp_path / "0.png").tolist() == [[[255, 255, 255]]]


def _palette(path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(path, transparency=bytes([255, 0, 128]))


def _gif(path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(path, transparency=1)


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        # 70 * 128 / 255 + 200 * 127 / 255 = 134.7, 80: 139.8, 90: 144.8
        ("0.png", _palette, [[10, 20, 30], [200, 200, 200], [135, 140, 145]]),
        ("0.gif", _gif, [[10, 20, 30], [200, 200, 200], [70, 80, 90]]),
        (
            "1.png",
            lambda path: Image.fromarray(np.array([[5, 6]], np.uint8)).save(path, transparency=6),
            [[5, 5, 5], [200, 200, 200]],
        ),
        (
            "2.png",
            lambda path: Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)).save(
                path, transparency=(1, 2, 3)
            ),
            [[200, 200, 200], [1, 2, 4]],
        ),
        ("3.png", lambda path: Image.fromarray(np.array([[True, False]])).save(path), [[255, 255, 255], [0, 0, 0]]),
        (
            "0.tif",
            lambda path: Image.new("CMYK", (1, 1), (255, 0, 128, 0)).save(path),
            [[0, 255, 127]],
        ),
        ("1.tif", lambda path: Image.new("YCbCr", (1, 1), (100, 128, 128)).save(path), [[100, 100, 100]]),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, name: str, write: Callable[[Path], None], expected: list[list[int]]
) -> None:
    write(tmp_path / name)
    assert decoded(tmp_path / name, PixelRules(background=(200, 200, 200)))[0].tolist() == expected


def test_lab_colours_are_converted_to_srgb(tmp_path: Path) -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.new("RGB", (2, 2), (180, 90, 40)), *profiles, outputMode="LAB")
    assert image is not None
    image.save(tmp_path / "0.tif")
    np.testing.assert_allclose(decoded(tmp_path / "0.tif").astype(int), np.full((2, 2, 3), [180, 90, 40]), atol=3)


def test_modes_may_be_mixed_in_one_data_set(tmp_path: Path) -> None:
    for number, mode in enumerate(["L", "1", "P", "RGBA", "LA", "I;16", "RGB"]):
        Image.new(mode, (4, 4)).save(tmp_path / f"{number}.png")
    paths = sorted(tmp_path.iterdir())
    background_or_black = [0, 0, 0, 255, 255, 0, 0]
    assert decode_images(paths, PixelRules())[:, 1, 2, 2].tolist() == background_or_black
