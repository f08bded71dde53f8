"""Files that are damaged, that are no images, or that claim to be larger than they are, are refused with a reason."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peerkd.data.sources.decoding import decode_file
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.errors import DataSourceError


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<html>404</html>", "it is not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is not an image of a known format"),
        # A header of 60,000 x 60,000 pixels in a file of 80 bytes.
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
            + (header := struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
            + struct.pack(">I", zlib.crc32(b"IHDR" + header))
            + b"\0\0\0\0IDAT\x35\xaf\x06\x1e",
            "exceeds limit of 178956970 pixels",
        ),
    ],
)
def test_a_file_that_is_not_an_image_is_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "0.png").write_bytes(content)
    with pytest.raises(DataSourceError, match=reason):
        decode_file(tmp_path / "0.png", PixelRules())


def test_a_small_file_that_claims_a_huge_image_is_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    Image.new("L", (20, 24), 7).save(tmp_path / "0.tif")
    content = bytearray((tmp_path / "0.tif").read_bytes())
    place = content.index(struct.pack("<H", 257), 8)  # the tag of the height
    content[place : place + 12] = struct.pack("<HHII", 257, 4, 1, 4_000_000)
    (tmp_path / "0.tif").write_bytes(content)
    with pytest.raises(DataSourceError, match="it claims to have 20x4000000 pixels in "):
        decode_file(tmp_path / "0.tif", PixelRules())
    content[place : place + 12] = struct.pack("<HHII", 257, 4, 1, 25)
    (tmp_path / "0.tif").write_bytes(content)
    with pytest.raises(DataSourceError, match="it has data for only a part of its 20x25 pixels"):
        decode_file(tmp_path / "0.tif", PixelRules())


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    with (tmp_path / "0.png").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(DataSourceError, match="it has 1,099,511,627,776 bytes, more than the limit of"):
        decode_file(tmp_path / "0.png", PixelRules())


def test_decoding_at_low_cost_detects_the_same_damage(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "0.jpg")
    content = (tmp_path / "0.jpg").read_bytes()
    for length in (len(content) // 2, len(content) - 300):
        (tmp_path / "0.jpg").write_bytes(content[:length])
        for at_low_cost in (False, True):
            with pytest.raises(DataSourceError, match="truncated"):
                decode_file(tmp_path / "0.jpg", PixelRules(8), at_low_cost=at_low_cost)
