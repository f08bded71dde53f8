"""Data sets as users may have them, in folders and npz files: valid, unusual, damaged and absurd ones."""

import io
import os
import random
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

_FORMATS: Final = {
    "png": ("L", "RGB", "RGBA", "LA", "P", "1", "I;16"),
    "jpg": ("L", "RGB", "CMYK"),
    "bmp": ("L", "RGB", "1", "P"),
    "gif": ("L", "P"),
    "tif": ("L", "RGB", "I;16", "F", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "ppm": ("L", "RGB"),
    "PNG": ("RGB",),
    "jpeg": ("RGB",),
}
_SPLITS: Final = (
    (),
    ("train", "test"),
    ("train", "val"),
    ("train", "validation", "test"),
    ("training", "testing"),
    ("Train", "Test"),
    ("train", "valid", "val"),
    ("test",),
    ("train",),
)
_CLASS_NAMES: Final = ("cat", "dog", "two words", "ünïcödé", "train", "test", "0", "10", "2", "a.b", "x" * 200, "Cat")


def image_folder(root: Path, rng: random.Random) -> None:
    """Write a folder of images with up to four unexpected entries."""
    root.mkdir(parents=True)
    names = rng.sample(_CLASS_NAMES, rng.randint(1, 4))
    suffix = rng.choice(list(_FORMATS))
    mode = rng.choice(_FORMATS[suffix])
    for split in rng.choice(_SPLITS) or ("",):
        for name in names:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(rng.choice([0, 1, 2, 12, 12, 12])):
                _image(folder / f"{number}.{suffix}", mode, rng, size=8 if rng.random() < 0.97 else rng.randint(1, 20))
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        rng.choice(_ODDITIES)(root, rng)


def npz_file(path: Path, rng: random.Random) -> None:
    """Write an npz file, or a file that a user could mistake for one."""
    num, num_classes = rng.choice([0, 1, 3, 40, 40, 40, 80]), rng.choice([1, 2, 4])
    arrays: dict[str, Any] = {}
    prefixes = rng.choice([("",), ("train_", "test_"), ("train_", "val_", "test_"), ("train_",), ("test_",)])
    for prefix in prefixes:
        arrays[f"{prefix}images"] = _images(num, rng)
        arrays[f"{prefix}labels"] = _labels(num + rng.choice([0] * 9 + [1]), num_classes, rng)
        if rng.random() < 0.3:
            arrays[f"{prefix}patient"] = _column(num, rng)
    if rng.random() < 0.2:
        arrays["class_names"] = np.array(
            [f"class {number}" for number in range(num_classes + rng.choice([-1, 0, 0, 2]))]
        )
    if rng.random() < 0.2:
        del arrays[rng.choice(list(arrays))]
    if rng.random() < 0.1:
        arrays[rng.choice(["notes", "images2", "train_extra"])] = np.arange(3)
    np.savez(path, **arrays)
    if rng.random() < 0.3:
        rng.choice(_NPZ_DAMAGES)(path, rng)


def _image(path: Path, mode: str, rng: random.Random, *, size: int) -> None:
    pixels = np.random.default_rng(rng.getrandbits(32))
    if mode == "I;16":
        image = Image.fromarray(pixels.integers(0, 65_536, (size, size), dtype=np.uint16))
    elif mode == "F":
        image = Image.fromarray(pixels.normal(size=(size, size)).astype(np.float32))
    else:
        image = Image.fromarray(pixels.integers(0, 256, (size, size, 3), dtype=np.uint8)).convert(
            "RGB" if mode == "LA" else mode
        )
        if mode == "LA":
            image = image.convert("L").convert("LA")
    options: dict[str, Any] = {}
    if path.suffix in (".jpg", ".png") and rng.random() < 0.2:
        exif = Image.Exif()
        exif[0x0112] = rng.randint(0, 9)
        options["exif"] = exif
    image.save(path, **options)


# --- unexpected entries of a folder ----------------------------------------------------------------------------------


def _some_folder(root: Path, rng: random.Random) -> Path:
    return rng.choice([root, *sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())])


def _some_file(root: Path, rng: random.Random) -> Path | None:
    files = sorted(path for path in root.rglob("*.*") if path.is_file() and not path.is_symlink())
    return rng.choice(files) if files else None


def _truncate(root: Path, rng: random.Random) -> None:
    if path := _some_file(root, rng):
        path.write_bytes(path.read_bytes()[: rng.randint(0, path.stat().st_size)])


def _flip(root: Path, rng: random.Random) -> None:
    if (path := _some_file(root, rng)) and path.stat().st_size:
        content = bytearray(path.read_bytes())
        for _ in range(rng.choice([1, 5, 50])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def _junk(root: Path, rng: random.Random) -> None:
    name = rng.choice(
        ["._0.png", ".DS_Store", "Thumbs.db", "notes.txt", "a.png", "b.jpg", "c.svg", "labels.csv", "d.tif"]
    )
    (_some_folder(root, rng) / name).write_bytes(rng.randbytes(rng.choice([0, 10, 1000])))


def _junk_folder(root: Path, rng: random.Random) -> None:
    folder = _some_folder(root, rng) / rng.choice(["__MACOSX", ".cache", "more", "empty", "val", "test", "train"])
    folder.mkdir(exist_ok=True)
    if rng.random() < 0.7:
        _image(folder / "inside.png", "RGB", rng, size=8)


def _link(root: Path, rng: random.Random) -> None:
    path = _some_folder(root, rng) / rng.choice(["link.png", "linked"])
    target = rng.choice([Path("nowhere"), root, Path("/dev/zero"), Path("/etc"), path, _some_file(root, rng) or root])
    if not path.exists() and not path.is_symlink():
        path.symlink_to(target)


def _special(root: Path, rng: random.Random) -> None:
    path = _some_folder(root, rng) / rng.choice(["pipe.png", "socket.png", "pipe"])
    if path.exists() or path.is_symlink():
        return
    if "socket" in path.name and len(str(path)) < 100:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
    elif "socket" not in path.name:
        os.mkfifo(path)


def _not_utf8(root: Path, rng: random.Random) -> None:
    folder = os.fsencode(_some_folder(root, rng))
    with open(folder + b"/\xff\xfe" + rng.choice([b".png", b".txt", b""]), "wb") as file:
        file.write(rng.randbytes(20))


def _rename_class(root: Path, rng: random.Random) -> None:
    folder = _some_folder(root, rng)
    if folder != root:
        target = folder.with_name(rng.choice(["other", "train", "test", "Val", "CAT", " ", "new\nline"]))
        if not target.exists():
            folder.rename(target)


_ODDITIES: Final[tuple[Callable[[Path, random.Random], None], ...]] = (
    _truncate,
    _flip,
    _flip,
    _junk,
    _junk,
    _junk_folder,
    _link,
    _special,
    _not_utf8,
    _rename_class,
)


# --- arrays ---------------------------------------------------------------------------------------------------------


def _images(num: int, rng: random.Random) -> Any:
    pixels = np.random.default_rng(rng.getrandbits(32))
    shape = rng.choice([(num, 8, 8), (num, 8, 8, 1), (num, 8, 8, 3), (num, 3, 8, 8), (num, 1, 8, 8), (num, 8, 8, 8)])
    if rng.random() < 0.1:
        shape = rng.choice([(num, 64), (num,), (num, 3, 8, 3), (num, 0, 8), (), (num, 2, 8, 8), (num, 8, 8, 3, 1)])
    images = pixels.integers(0, 256, shape)
    kind = rng.choice(["u1"] * 8 + ["u2", "f4", "f8", "i8", "?", ">u2", "U3", "c8"])
    if kind[0] == "f":
        images = images / 255
        if rng.random() < 0.5 and images.size:
            images.flat[0] = rng.choice([np.nan, np.inf, -1, 1e30])
    return np.asfortranarray(images.astype(kind)) if rng.random() < 0.1 else images.astype(kind)


def _labels(num: int, num_classes: int, rng: random.Random) -> Any:
    labels = np.arange(num) % num_classes
    choice = rng.randrange(16)
    match choice:
        case 0:
            return labels + 1
        case 1:
            return labels * rng.choice([7, 10**8, 2**40, 2**62 // max(1, num_classes)])
        case 2:
            return labels - 1
        case 3:
            return np.array(["a", "b", "c", "ü"])[labels]
        case 4:
            return labels.astype("S3")
        case 5:
            return labels[:, None]
        case 6:
            return np.eye(max(1, num_classes), dtype=rng.choice(["u1", "f4", "i8"]))[labels]
        case 7:
            return labels.astype(rng.choice(["f4", "f8"])) + rng.choice([0, 0.5, np.nan])
        case 8:
            return labels.astype(rng.choice(["u8", "?", ">i4", "i1", "O", "M8[s]"]))
        case 9:
            return labels[None]
    return labels


def _column(num: int, rng: random.Random) -> Any:
    numbers = np.arange(num) % 3
    return rng.choice(
        [
            numbers,
            numbers.astype(str),
            numbers.astype("S2"),
            np.where(numbers == 0, np.nan, numbers),
            numbers[:-1],
            numbers[:, None],
            numbers.astype(object),
        ]
    )


def _cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randint(0, path.stat().st_size)])


def _flip_bits(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 10])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _claim_more(path: Path, rng: random.Random) -> None:
    """Write into the header of an array a shape that the file does not contain."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    header = io.BytesIO()
    shape = rng.choice([(2**40,), (2**31, 2**31, 3), (10**9, 8, 8), (-1, 8, 8)])
    np.lib.format.write_array_header_1_0(
        header, {"descr": rng.choice(["|u1", "<i8", "|O"]), "fortran_order": False, "shape": shape}
    )
    members[name] = header.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)


def _single_array(path: Path, rng: random.Random) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(rng.choice([0, 5])))


def _nothing_like_it(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice([0, 100])))


_NPZ_DAMAGES: Final = (_cut, _flip_bits, _flip_bits, _claim_more, _claim_more, _single_array, _nothing_like_it)
