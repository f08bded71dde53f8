"""How many samples a source has, and of which shape, without keeping their pixels.

C channels, H W height and width.
"""

import zipfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from peerkd.data.passed_over import PassedOver
from peerkd.data.sources.decode_pool import ReportProgress
from peerkd.data.sources.decoding import PixelRules
from peerkd.data.sources.image_folder import survey_image_folder
from peerkd.errors import DataSourceError


class SourceSize(NamedTuple):
    """What there is at a source, before any limit."""

    num_train: int
    """All samples, where there is no test split."""

    num_test: int
    """0 where there is no test split."""

    image_shape_CHW: tuple[int, int, int]
    num_classes: int

    num_validation: int = 0
    """Samples of a validation split of the source's own, which are none of the others."""

    remarks: tuple[str, ...] = ()
    """As ``RawDataset`` has them."""

    passed_over: tuple[PassedOver, ...] = ()
    """As ``RawDataset`` has it."""

    @property
    def num_pixel_bytes(self) -> int:
        """Of one image as the packed data set has it."""
        channels, height, width = self.image_shape_CHW
        return channels * height * width


_PUBLISHED: Final = {
    "digits": SourceSize(1_797, 0, (1, 8, 8), 10),
    "cifar10": SourceSize(50_000, 10_000, (3, 32, 32), 10),
    "cifar100": SourceSize(50_000, 10_000, (3, 32, 32), 100),
}


def source_size(
    source: str,
    *,
    path: str | None,
    image_size_pixels: int | None,
    rules: PixelRules | None = None,
    skip_damaged: bool = False,
    progress: ReportProgress | None = None,
) -> SourceSize:
    """Return the size of a data set. Published ones are known; others are checked as they are when they are read.

    Args:
        source: As for ``read_source``.
        path: As for ``read_source``; not looked at for a published data set.
        image_size_pixels: As for ``read_source``.
        rules: As for ``read_source``.
        skip_damaged: As for ``read_source``.
        progress: As for ``read_source``.

    Raises:
        ValueError: If the images differ in size and none is given, or their pixels need a range.
        DataSourceError: If what is at ``path`` is missing, damaged or of another form.
    """
    if source in _PUBLISHED:
        return _PUBLISHED[source]
    if path is None:
        raise ValueError(f"data.path must be given with data.source {source}.")
    place = Path(path).expanduser()
    if source == "npz":
        return _npz_size(place)
    pixel_rules = (rules or PixelRules())._replace(image_size_pixels=image_size_pixels)
    return _folder_size(place, pixel_rules, skip_damaged=skip_damaged, progress=progress)


def _folder_size(root: Path, rules: PixelRules, *, skip_damaged: bool, progress: ReportProgress | None) -> SourceSize:
    files, (width, height), _ = survey_image_folder(root, rules, skip_damaged=skip_damaged, progress=progress)
    return SourceSize(
        num_train=files.num_train,
        num_test=len(files.labels_N) - files.num_train - files.num_validation,
        image_shape_CHW=(3, height, width),
        num_classes=len(files.class_names),
        num_validation=files.num_validation,
        remarks=files.remarks,
        passed_over=files.passed_over,
    )


def _npz_size(path: Path) -> SourceSize:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            has_splits = "train_images" in file
            names = ("train_images", "test_images") if has_splits else ("images",)
            shapes = [_array_shape(path, name) for name in names]
            if "class_names" in file:
                num_classes = int(np.size(file["class_names"]))
            else:
                num_classes = int(file["train_labels" if has_splits else "labels"].max()) + 1
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise DataSourceError(f"data.path: {path} cannot be read as an npz file of plain arrays: {error}") from error
    num_test = shapes[1][0] if has_splits else 0
    return SourceSize(shapes[0][0], num_test, _channels_first(shapes[0][1:]), num_classes)


def _array_shape(path: Path, name: str) -> tuple[int, ...]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape: tuple[int, ...] = read_header(member)[0]
    return shape


def _channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 2:
        return (1, *shape)
    first, second, third = shape
    return (first, second, third) if first in (1, 3) else (third, first, second)
