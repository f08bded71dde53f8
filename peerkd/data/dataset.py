"""The packed form of a data set: a folder of plain arrays, which are memory-mapped when read.

    images.npy           uint8 (N, C, H, W): training split, validation split, test split
    labels.npy           int64 (N,)
    columns/<name>.npy   (N,), further values per sample
    dataset.json         everything else; written last, so a folder without it is unfinished

Shape suffixes: N = samples, B = batch, C = channels, H W = image size, K = classes.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from peerkd.data.skipped import SkippedEntries, from_json, to_json
from peerkd.errors import ArtifactCorruptError

_BLOCK_BYTES = 16 * 2**20  # arrays larger than memory are read in pieces of this size
_COLUMN_KINDS = "biufSU"  # dtype kinds that npy files store without pickling


class ImageDataset(Protocol):
    """The interface of a data set for training, whether its pixels are packed or decoded on demand."""

    @property
    def labels_N(self) -> npt.NDArray[np.int64]:  # noqa: N802 - a shape suffix
        """The class of every sample, in ``[0, K)``."""

    @property
    def num_train(self) -> int:
        """The number of samples of the training split, which comes first."""

    @property
    def num_validation(self) -> int:
        """The number of samples of the data set's own validation split, which comes second; 0 if it has none.

        The samples after it are the test split.
        """

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the K classes."""

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Further values per sample, each of shape (N,)."""

    @property
    def name(self) -> str:
        """The name of this data set in reports."""

    @property
    def label_values(self) -> tuple[bool | int | str, ...]:
        """The label of each class at the source; empty if the labels are ``0`` to ``K - 1``."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Phrases about how the source was read, such as which labels became which classes."""

    @property
    def skipped(self) -> tuple[SkippedEntries, ...]:
        """Counts of the entries of the source that are not among the samples."""

    @property
    def fingerprint(self) -> str:
        """A SHA-256 of the content, in hex. Data sets with equal fingerprints have equal data."""

    @property
    def channel_mean(self) -> tuple[float, ...]:
        """The mean of each channel for pixels in 0..1."""

    @property
    def channel_std(self) -> tuple[float, ...]:
        """The standard deviation of each channel for pixels in 0..1; above 0."""

    @property
    def num_classes(self) -> int:
        """The number of classes, K."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of every image."""

    def read_images(self, indices_B: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Return the pixels of these samples as a new array of shape (B, C, H, W)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RawDataset:
    """A data set in memory, as a source returns it: the training, validation and test split, in this order.

    Raises:
        ValueError: If the parts do not fit together.
    """

    images_NCHW: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]
    num_train: int
    class_names: tuple[str, ...]
    columns: Mapping[str, np.ndarray]
    name: str
    num_validation: int = 0
    label_values: tuple[bool | int | str, ...] = ()
    """The label of each class at the source; empty if the labels are ``0`` to ``K - 1``."""

    remarks: tuple[str, ...] = ()
    skipped: tuple[SkippedEntries, ...] = ()

    def __post_init__(self) -> None:
        if self.images_NCHW.dtype != np.uint8 or self.images_NCHW.ndim != 4 or self.images_NCHW.size == 0:
            raise ValueError(
                "images must be uint8 of shape (N, C, H, W) with no dimension of 0, "
                f"got {self.images_NCHW.dtype} {self.images_NCHW.shape}."
            )
        num_samples = len(self.images_NCHW)
        if self.labels_N.dtype != np.int64 or self.labels_N.shape != (num_samples,):
            raise ValueError(
                f"labels must be int64 of shape ({num_samples},), got {self.labels_N.dtype} {self.labels_N.shape}."
            )
        if self.labels_N.min() < 0 or self.labels_N.max() >= len(self.class_names):
            raise ValueError(
                f"labels must be from 0 to {len(self.class_names) - 1}, "
                f"got {self.labels_N.min()} to {self.labels_N.max()}."
            )
        if not 1 <= self.num_train <= num_samples:
            raise ValueError(f"num_train must be from 1 to {num_samples}, got {self.num_train}.")
        if not 0 <= self.num_validation <= num_samples - self.num_train:
            raise ValueError(
                f"num_validation must be from 0 to {num_samples - self.num_train}, got {self.num_validation}."
            )
        for name, column_N in self.columns.items():
            if not name.isidentifier():
                raise ValueError(f"the name of a column must be an identifier, got {name!r}.")
            if column_N.shape != (num_samples,) or column_N.dtype.kind not in _COLUMN_KINDS:
                raise ValueError(
                    f"column {name!r} must contain {num_samples} numbers or strings, "
                    f"got {column_N.dtype} {column_N.shape}."
                )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, num_channels, height_pixels, width_pixels = self.images_NCHW.shape
        return num_channels, height_pixels, width_pixels


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
        """(C, H, W)."""
        _, num_channels, height_pixels, width_pixels = self.images_NCHW.shape
        return num_channels, height_pixels, width_pixels

    def read_images(self, indices_B: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Return the pixels of these samples as a new array of shape (B, C, H, W)."""
        images_BCHW: npt.NDArray[np.uint8] = self.images_NCHW[indices_B]
        return images_BCHW


def write_packed(folder: Path, raw: RawDataset) -> str:
    """Write ``raw`` as a packed data set into ``folder`` and return its fingerprint.

    Equal content gives equal bytes, whatever its memory layout or byte order.
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

    Shapes are always checked. With ``verify``, every pixel is read and the
    fingerprint and the channel statistics are recomputed, which is meant for
    the first opening after a transfer.

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

    The sums are exact integers, so the result does not depend on the order of
    the samples. The deviation of a constant channel is set to one grey level
    (1/255), so that dividing by it stays finite.
    """
    num_channels = images_NCHW.shape[1]
    sum_C = np.zeros(num_channels, np.uint64)
    sum_of_squares_C = np.zeros(num_channels, np.uint64)
    for block_BCHW in _blocks(images_NCHW):
        sum_C += block_BCHW.sum(axis=(0, 2, 3), dtype=np.uint64)
        sum_of_squares_C += np.square(block_BCHW, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.uint64)
    num_pixels = images_NCHW.size // num_channels
    means, deviations = [], []
    for total, total_of_squares in zip(sum_C.tolist(), sum_of_squares_C.tolist(), strict=True):
        means.append(total / num_pixels / 255)
        variance = (num_pixels * total_of_squares - total**2) / num_pixels**2
        deviations.append((variance**0.5 or 1.0) / 255)
    return tuple(means), tuple(deviations)


def content_fingerprint(header: Mapping[str, Any], arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 in hex over ``header`` (as JSON) and the bytes, dtypes and shapes of ``arrays``."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for block in _blocks(array):
            digest.update(block.tobytes())
    return digest.hexdigest()


def write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write ``dataset.json``. It must be written last, because it marks the folder as a finished data set."""
    (folder / "dataset.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="ascii")


def describing_metadata(dataset: ImageDataset | RawDataset) -> dict[str, Any]:
    """Return the fields of ``dataset.json`` that describe how a data set was read, packed or streamed."""
    return {
        "num_validation": dataset.num_validation,
        "label_values": list(dataset.label_values),
        "remarks": list(dataset.remarks),
        "skipped": to_json(dataset.skipped),
    }


def read_metadata(folder: Path, *, kind: str | None = None) -> dict[str, Any]:
    """Read ``dataset.json`` and, if ``kind`` is given, check its kind.

    Raises:
        ArtifactCorruptError: If it is missing, is not a JSON object, or is of another kind.
    """
    path = folder / "dataset.json"
    try:
        metadata = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactCorruptError(f"{path}: cannot be read, so this is not a finished data set: {error}") from error
    except ValueError as error:
        raise ArtifactCorruptError(f"{path}: is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise ArtifactCorruptError(f"{path}: must contain a JSON object, got {type(metadata).__name__}.")
    if kind is not None and metadata.get("kind") != kind:
        raise ArtifactCorruptError(f"{path}: kind must be {kind!r}, got {metadata.get('kind')!r}.")
    return metadata


def read_array(path: Path) -> np.ndarray:
    """Memory-map the npy file at ``path``, read-only.

    Raises:
        ArtifactCorruptError: If it is missing, truncated or not a plain array.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ArtifactCorruptError(f"{path}: cannot be read as an array: {error}") from error
    # A plain ndarray, because every slice and batch of a memmap is a memmap too.
    return np.asarray(array)


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


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ``array`` in pieces of about ``_BLOCK_BYTES`` along its first axis."""
    num_rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), num_rows):
        yield array[start : start + num_rows]
