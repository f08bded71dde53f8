"""Folders of image files, one folder per class.

    train/<class>/<image>   and, if there is a test split, test/<class>/<image> or val/<class>/<image>
    <class>/<image>         without a test split

N samples, B batch, C channels, H W height and width, K classes.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from peerkd.data.dataset import RawDataset
from peerkd.errors import DataSourceError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_TEST_FOLDERS = ("test", "val")
_MAX_FILES_PER_TASK = 64  # small images decode in 0.1 ms: one by one, handing them to a thread would cost as much


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageFiles:
    """The image files below a root, the training split first, sorted by split, class and name."""

    relative_paths: tuple[str, ...]
    """N of them, with ``/``."""
    labels_N: npt.NDArray[np.int64]
    num_train: int
    class_names: tuple[str, ...]


def read_image_folder(root: Path, *, image_size_pixels: int | None) -> RawDataset:
    """Decode all images below ``root`` to RGB.

    Args:
        root: In one of the layouts above.
        image_size_pixels: H and W: the shorter side is resized to it and the centre is cut out. None
            leaves the pixels as they are; then all images must have one size.

    Raises:
        ValueError: If the images differ in size and ``image_size_pixels`` is None.
        DataSourceError: If the layout is another one or a file is not a readable image.
    """
    files = list_image_files(root)
    return RawDataset(
        images_NCHW=decode_images([root / path for path in files.relative_paths], image_size_pixels=image_size_pixels),
        labels_N=files.labels_N,
        num_train=files.num_train,
        class_names=files.class_names,
        columns={},
        name=root.resolve().name,
    )


def list_image_files(root: Path) -> ImageFiles:
    """List the image files below ``root`` without opening them; other files and hidden folders are passed over.

    Raises:
        DataSourceError: If the layout is none of the above, a class has no image, or the splits differ in classes.
    """
    splits = [""]
    if (root / "train").is_dir():
        splits = ["train", *[name for name in _TEST_FOLDERS if (root / name).is_dir()][:1]]
    class_names = _list_folders(root / splits[0])
    if not class_names:
        raise DataSourceError(f"data.path: {root / splits[0]} must contain one folder per class, it contains none.")
    for split in splits[1:]:
        differing = sorted(set(class_names).symmetric_difference(_list_folders(root / split)))
        if differing:
            raise DataSourceError(
                f"data.path: {root / splits[0]} and {root / split} must have the same classes, "
                f"only one of them has {', '.join(differing)}."
            )

    relative_paths: list[str] = []
    labels: list[int] = []
    num_train = 0
    for split in splits:
        for label, class_name in enumerate(class_names):
            folder = root / split / class_name
            names = [entry.name for entry in _entries(folder) if entry.name.lower().endswith(_SUFFIXES)]
            if not names:
                raise DataSourceError(f"data.path: {folder} must contain {', '.join(_SUFFIXES)} files, it has none.")
            prefix = f"{split}/{class_name}" if split else class_name
            relative_paths += [f"{prefix}/{name}" for name in names]
            labels += [label] * len(names)
        num_train = num_train or len(labels)
    return ImageFiles(
        relative_paths=tuple(relative_paths),
        labels_N=np.array(labels, np.int64),
        num_train=num_train,
        class_names=class_names,
    )


def decode_images(paths: Sequence[Path], *, image_size_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Decode image files in a pool of threads into an array of shape (B, 3, H, W); see ``read_image_folder``.

    Args:
        paths: B of them, at least 1 if ``image_size_pixels`` is None.
        image_size_pixels: H and W, or None to take them from the first image.
    """
    size = _decode(paths[0], None).shape[:2] if image_size_pixels is None else (image_size_pixels, image_size_pixels)
    images_BCHW = np.empty((len(paths), 3, *size), np.uint8)
    num_threads = os.cpu_count() or 1
    # A batch is spread over all threads, however small it is.
    files_per_task = max(1, min(_MAX_FILES_PER_TASK, len(paths) // num_threads))

    def decode_block(start: int) -> None:
        for index, path in enumerate(paths[start : start + files_per_task], start):
            image_HWC = _decode(path, image_size_pixels)
            if image_HWC.shape[:2] != size:
                raise ValueError(
                    f"data.image_size_pixels must be set when images differ in size: {path} is "
                    f"{image_HWC.shape[1]}x{image_HWC.shape[0]}, {paths[0]} is {size[1]}x{size[0]}."
                )
            images_BCHW[index] = image_HWC.transpose(2, 0, 1)

    # Threads suffice, since Pillow decodes without the interpreter lock; more than one per core only contend for it.
    with ThreadPoolExecutor(num_threads) as pool:
        # list() waits for every block and raises what the first failing one raised.
        list(pool.map(decode_block, range(0, len(paths), files_per_task)))
    return images_BCHW


def _decode(path: Path, image_size_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Decode one file to RGB, of shape (H, W, 3)."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    # Pillow's decoders let all of these out on a damaged file.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataSourceError(f"data.path: {path} cannot be decoded as an image: {error}") from error
    if image_size_pixels is not None:
        image = ImageOps.fit(image, (image_size_pixels, image_size_pixels), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _list_folders(folder: Path) -> tuple[str, ...]:
    return tuple(entry.name for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith("."))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataSourceError(f"data.path: {folder} cannot be listed as a folder: {error}") from error
