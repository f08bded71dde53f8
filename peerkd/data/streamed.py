"""Data sets that are too large to pack: an index of image files, which are decoded when a batch needs them.

    dataset.json         root folder, class names, image size
    paths.npy            (N,) bytes, relative to the root: training split, validation split, test split
    digests.npy          uint8 (N, 32), SHA-256 of each file
    labels.npy           int64 (N,)
    columns/<name>.npy   (N,), further values per sample

Shape suffixes: N = samples, B = batch, C = channels, H W = image size, K = classes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import ImageDataset
from peerkd.data.packed import read_packed
from peerkd.data.skipped import SkippedEntries, from_json
from peerkd.data.sources.pixel_rules import WHITE, PixelRules, ReportProgress
from peerkd.data.storage import content_fingerprint, describing_metadata, read_array, read_metadata, write_metadata
from peerkd.data.wording import printable
from peerkd.errors import ArtifactCorruptError, DataSourceError

IMAGENET_CHANNEL_MEAN = (0.485, 0.456, 0.406)
IMAGENET_CHANNEL_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StreamedDataset:
    """An index of image files, with the interface of ``ImageDataset``."""

    root: Path
    image_size_pixels: int
    """The height and width of the images that ``read_images`` returns."""
    relative_paths_N: npt.NDArray[np.bytes_]
    """Paths relative to ``root`` in the encoding of the file system. One array stores millions of paths compactly."""
    digests_N32: npt.NDArray[np.uint8]
    """SHA-256 of each file at the time when it was indexed, of shape (N, 32)."""
    labels_N: npt.NDArray[np.int64]
    num_train: int
    class_names: tuple[str, ...]
    columns: Mapping[str, np.ndarray]
    fingerprint: str
    """SHA-256 of the relative paths, the digests of the files, labels, columns, class names and pixel rules, in hex."""
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    num_validation: int = 0
    remarks: tuple[str, ...] = ()
    skipped: tuple[SkippedEntries, ...] = ()
    pixel_range: tuple[float, float] | None = None
    background: tuple[int, int, int] = WHITE

    @property
    def label_values(self) -> tuple[bool | int | str, ...]:
        """The empty tuple, because each class is named after its folder."""
        return ()

    @property
    def name(self) -> str:
        """The name of the root folder."""
        return printable(self.root.name)

    @property
    def num_classes(self) -> int:
        """The number of classes, K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of every image."""
        return 3, self.image_size_pixels, self.image_size_pixels

    def read_images(self, indices_B: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Return the pixels of these samples, decoded to RGB, resized and cropped: a new array of shape (B, C, H, W).

        Raises:
            DataSourceError: If a file is missing or has changed since it was indexed.
        """
        # Imported here because it needs Pillow, which packed data sets do not.
        from peerkd.data.sources.decode_pool import decode_images

        paths = [self.root / os.fsdecode(path) for path in self.relative_paths_N[indices_B]]
        rules = PixelRules(self.image_size_pixels, self.pixel_range, self.background)
        return decode_images(paths, rules, digests=[digest.tobytes() for digest in self.digests_N32[indices_B]])


def index_image_folder(
    root: Path,
    rules: PixelRules,
    *,
    skip_damaged: bool = False,
    columns_path: Path | None = None,
    channel_mean: tuple[float, float, float] = IMAGENET_CHANNEL_MEAN,
    channel_std: tuple[float, float, float] = IMAGENET_CHANNEL_STD,
    progress: ReportProgress | None = None,
) -> StreamedDataset:
    """List the images below ``root`` (see ``peerkd.data.sources.image_folder``) and read each of them once.

    This finds damaged files before training starts, and makes the fingerprint depend on the content of the files. For
    ImageNet, 140 GB are read. The files are read again only if a file changes.

    Args:
        root: The folder of images, which must stay where it is.
        rules: How the content of a file becomes RGB; ``image_size_pixels`` must be set.
        skip_damaged: Whether to omit images that cannot be read. Otherwise they are refused.
        columns_path: A CSV file with further values of each image; see ``peerkd.data.sources.columns_file``.
        channel_mean: Mean of each channel for pixels in 0..1.
        channel_std: Standard deviation of each channel for pixels in 0..1, above 0.
        progress: Called with the number of images that have been read.

    Raises:
        ValueError: If ``image_size_pixels`` is None or below 1, or pixels need a ``pixel_range``.
        DataSourceError: If the folder does not have the layout of an image folder, or an image cannot be read and
            ``skip_damaged`` is False.
    """
    # Imported here because it needs Pillow, which packed data sets do not.
    from peerkd.data.sources.image_folder import survey_image_folder

    image_size_pixels = rules.image_size_pixels
    if image_size_pixels is None or image_size_pixels < 1:
        raise ValueError(f"data.image_size_pixels must be at least 1, got {image_size_pixels}.")
    root = root.expanduser().resolve()
    files, digests_N32 = survey_image_folder(
        root, rules, skip_damaged=skip_damaged, columns_path=columns_path, progress=progress
    )
    dataset = StreamedDataset(
        root=root,
        image_size_pixels=image_size_pixels,
        relative_paths_N=np.array([os.fsencode(path) for path in files.relative_paths]),
        digests_N32=digests_N32,
        labels_N=files.labels_N,
        num_train=files.num_train,
        num_validation=files.num_validation,
        class_names=files.class_names,
        columns=files.columns,
        channel_mean=channel_mean,
        channel_std=channel_std,
        fingerprint="",
        remarks=files.remarks,
        skipped=files.skipped,
        pixel_range=rules.pixel_range,
        background=rules.background,
    )
    return replace(dataset, fingerprint=_fingerprint(dataset))


def write_index(folder: Path, dataset: StreamedDataset) -> str:
    """Write the index into ``folder``, without the images, and return its fingerprint."""
    (folder / "columns").mkdir(parents=True, exist_ok=True)
    np.save(folder / "paths.npy", dataset.relative_paths_N, allow_pickle=False)
    np.save(folder / "digests.npy", dataset.digests_N32, allow_pickle=False)
    np.save(folder / "labels.npy", dataset.labels_N, allow_pickle=False)
    for name, column_N in dataset.columns.items():
        np.save(folder / "columns" / f"{name}.npy", column_N, allow_pickle=False)
    write_metadata(
        folder,
        {
            "kind": "streamed",
            "root": str(dataset.root),
            "image_size_pixels": dataset.image_size_pixels,
            "pixel_range": dataset.pixel_range,
            "background": dataset.background,
            "num_train": dataset.num_train,
            "class_names": dataset.class_names,
            "columns": sorted(dataset.columns),
            "channel_mean": dataset.channel_mean,
            "channel_std": dataset.channel_std,
            "fingerprint": dataset.fingerprint,
            **describing_metadata(dataset),
        },
    )
    return dataset.fingerprint


def read_index(folder: Path) -> StreamedDataset:
    """Read an index and check its fingerprint. The image files are not checked.

    Raises:
        ArtifactCorruptError: If a file of the index is missing, truncated or altered.
        DataSourceError: If the folder of images no longer exists.
    """
    metadata = read_metadata(folder, kind="streamed")
    try:
        dataset = StreamedDataset(
            root=Path(metadata["root"]),
            image_size_pixels=metadata["image_size_pixels"],
            relative_paths_N=read_array(folder / "paths.npy"),
            digests_N32=read_array(folder / "digests.npy"),
            labels_N=read_array(folder / "labels.npy").copy(),
            num_train=metadata["num_train"],
            class_names=tuple(metadata["class_names"]),
            columns={
                name: read_array(folder / "columns" / f"{name}.npy").copy() for name in metadata.get("columns", ())
            },
            channel_mean=tuple(metadata["channel_mean"]),
            channel_std=tuple(metadata["channel_std"]),
            fingerprint=metadata["fingerprint"],
            num_validation=metadata["num_validation"],
            remarks=tuple(metadata["remarks"]),
            skipped=from_json(metadata["skipped"]),
            pixel_range=None if metadata["pixel_range"] is None else tuple(metadata["pixel_range"]),
            background=tuple(metadata["background"]),
        )
    except (KeyError, TypeError) as error:
        raise ArtifactCorruptError(f"{folder}/dataset.json: a field is missing or malformed: {error}") from error
    fingerprint = _fingerprint(dataset)
    if fingerprint != dataset.fingerprint:
        raise ArtifactCorruptError(
            f"{folder}: the index has fingerprint {fingerprint}, but dataset.json states {dataset.fingerprint}."
        )
    if not dataset.root.is_dir():
        raise DataSourceError(
            f"data.path: {dataset.root} must be a folder, because {folder} is an index of the images in it."
        )
    return dataset


def open_dataset(folder: Path) -> ImageDataset:
    """Open the data set that ``write_packed`` or ``write_index`` wrote into ``folder``.

    Raises:
        ArtifactCorruptError: If a file is missing, truncated or altered, or the kind is unknown.
        DataSourceError: If the folder of images of a streamed data set no longer exists.
    """
    kind = read_metadata(folder).get("kind")
    if kind == "streamed":
        return read_index(folder)
    return read_packed(folder)


def _fingerprint(dataset: StreamedDataset) -> str:
    header: dict[str, Any] = {
        "num_train": dataset.num_train,
        "num_validation": dataset.num_validation,
        "class_names": dataset.class_names,
        "image_size_pixels": dataset.image_size_pixels,
        "pixel_range": dataset.pixel_range,
        "background": dataset.background,
    }
    names = sorted(dataset.columns)
    if names:
        header["columns"] = names
    arrays = [dataset.relative_paths_N, dataset.digests_N32, dataset.labels_N]
    return content_fingerprint(header, [*arrays, *(dataset.columns[name] for name in names)])
