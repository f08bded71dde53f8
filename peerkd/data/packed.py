"""The packed form of a data set: a folder of plain arrays, which are memory-mapped when read.

    images.npy           uint8 (N, C, H, W): training split, validation split, test split
    labels.npy           int64 (N,)
    columns/<name>.npy   (N,), further values per sample
    dataset.json         everything else; written last, so a folder without it is unfinished

Shape suffixes: N = samples, B = batch, C = channels, H W = image size, K = classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.data.skipped import SkippedEntries, from_json
from peerkd.data.storage import (
    blocks,
    content_fingerprint,
    describing_metadata,
    read_array,
    read_metadata,
    write_metadata,
)
from peerkd.errors import ArtifactCorruptError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PackedDataset:
    """A packed data set that is open for reading. Its pixels stay on disk until a batch needs them."""

    images_NCHW: npt.NDArray[np.uint8]
    """The pixels, memory-mapped and read-only."""
    labels_N: npt.NDArray[np.int64]
    num_train: int
    class_names: tuple[str, ...]
    columns: Mapping[str, np.ndarray]
    name: str
    fingerprint: str
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    num_validation: int = 0
    label_values: tuple[bool | int | str, ...] = ()
    remarks: tuple[str, ...] = ()
    skipped: tuple[SkippedEntries, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of every image."""
        _, num_channels, height_pixels, width_pixels = self.images_NCHW.shape
        return num_channels, height_pixels, width_pixels

    def read_images(self, indices_B: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Return the pixels of these samples as a new array of shape (B, C, H, W)."""
        images_BCHW: npt.NDArray[np.uint8] = self.images_NCHW[indices_B]
        return images_BCHW


def write_packed(folder: Path, raw: RawDataset) -> str:
    """Write ``raw`` as a packed data set into ``folder`` and return its fingerprint.

    Data sets with equal content are written as equal bytes, whatever memory layout and byte order their arrays have.
    """
    raw = _canonical(raw)
    fingerprint = _fingerprint(raw)
    channel_mean, channel_std = channel_statistics(raw.images_NCHW[: raw.num_train])
    (folder / "columns").mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", raw.images_NCHW, allow_pickle=False)
    np.save(folder / "labels.npy", raw.labels_N, allow_pickle=False)
    for name, column_N in raw.columns.items():
        np.save(folder / "columns" / f"{name}.npy", column_N, allow_pickle=False)
    write_metadata(
        folder,
        {
            "kind": "packed",
            "name": raw.name,
            "num_train": raw.num_train,
            "class_names": raw.class_names,
            "columns": sorted(raw.columns),
            "channel_mean": channel_mean,
            "channel_std": channel_std,
            "fingerprint": fingerprint,
            **describing_metadata(raw),
        },
    )
    return fingerprint


def read_packed(folder: Path, *, verify: bool = False) -> PackedDataset:
    """Open the packed data set in ``folder``.

    Shapes are always checked. With ``verify``, every pixel is read, and the fingerprint and the channel statistics are
    recomputed and compared with the stored values. Use this when you open a data set for the first time after a
    transfer.

    Raises:
        ArtifactCorruptError: If a file is missing, truncated or altered.
    """
    metadata = read_metadata(folder, kind="packed")
    try:
        raw = RawDataset(
            images_NCHW=read_array(folder / "images.npy"),
            labels_N=read_array(folder / "labels.npy").copy(),
            num_train=metadata["num_train"],
            class_names=tuple(metadata["class_names"]),
            columns={name: read_array(folder / "columns" / f"{name}.npy").copy() for name in metadata["columns"]},
            name=metadata["name"],
            num_validation=metadata["num_validation"],
            label_values=tuple(metadata["label_values"]),
            remarks=tuple(metadata["remarks"]),
            skipped=from_json(metadata["skipped"]),
        )
        dataset = PackedDataset(
            images_NCHW=raw.images_NCHW,
            labels_N=raw.labels_N,
            num_train=raw.num_train,
            class_names=raw.class_names,
            columns=raw.columns,
            name=raw.name,
            fingerprint=metadata["fingerprint"],
            channel_mean=tuple(metadata["channel_mean"]),
            channel_std=tuple(metadata["channel_std"]),
            num_validation=raw.num_validation,
            label_values=raw.label_values,
            remarks=raw.remarks,
            skipped=raw.skipped,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorruptError(f"{folder}: the parts of this data set do not fit together: {error}") from error
    if verify:
        fingerprint = _fingerprint(raw)
        if fingerprint != dataset.fingerprint:
            raise ArtifactCorruptError(
                f"{folder}: the content has fingerprint {fingerprint}, but dataset.json states {dataset.fingerprint}."
            )
        statistics = channel_statistics(raw.images_NCHW[: raw.num_train])
        if statistics != (dataset.channel_mean, dataset.channel_std):
            raise ArtifactCorruptError(f"{folder}/dataset.json: channel_mean and channel_std do not match the pixels.")
    return dataset


def channel_statistics(images_NCHW: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of each channel for pixels in 0..1.

    The sums are exact integers, so the result does not depend on the order of the samples. A constant channel has the
    deviation 0. One grey level (1/255) is returned in its place, because images are divided by the deviation.
    """
    num_channels = images_NCHW.shape[1]
    sum_C = np.zeros(num_channels, np.uint64)
    sum_of_squares_C = np.zeros(num_channels, np.uint64)
    for block_BCHW in blocks(images_NCHW):
        sum_C += block_BCHW.sum(axis=(0, 2, 3), dtype=np.uint64)
        sum_of_squares_C += np.square(block_BCHW, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.uint64)
    num_pixels = images_NCHW.size // num_channels
    means, deviations = [], []
    for total, total_of_squares in zip(sum_C.tolist(), sum_of_squares_C.tolist(), strict=True):
        means.append(total / num_pixels / 255)
        variance = (num_pixels * total_of_squares - total**2) / num_pixels**2
        deviations.append((variance**0.5 or 1.0) / 255)
    return tuple(means), tuple(deviations)


def raw_fingerprint(raw: RawDataset) -> str:
    """Return the fingerprint that a data set in memory has once it is packed."""
    return _fingerprint(_canonical(raw))


def _canonical(raw: RawDataset) -> RawDataset:
    """Return ``raw`` in C order and little-endian, so that equal content has equal bytes."""
    return replace(
        raw,
        images_NCHW=np.ascontiguousarray(raw.images_NCHW),
        labels_N=np.ascontiguousarray(raw.labels_N, dtype="<i8"),
        columns={
            name: np.ascontiguousarray(column_N, dtype=column_N.dtype.newbyteorder("<"))
            for name, column_N in raw.columns.items()
        },
    )


def _fingerprint(raw: RawDataset) -> str:
    column_names = sorted(raw.columns)
    header: dict[str, Any] = {"num_train": raw.num_train, "class_names": raw.class_names, "columns": column_names}
    if raw.num_validation:
        header["num_validation"] = raw.num_validation
    return content_fingerprint(header, [raw.images_NCHW, raw.labels_N, *(raw.columns[name] for name in column_names)])
