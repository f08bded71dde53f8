"""Data sets of images: the interface for training, and the data set in memory that a source returns.

Shape suffixes: N = samples, B = batch, C = channels, H W = image size, K = classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from peerkd.data.skipped import SkippedEntries

_COLUMN_KINDS = "biufSU"  # The kinds of dtypes that npy files store without pickling.


class ImageDataset(Protocol):
    """The interface of a data set for training, whether its pixels are packed or decoded on demand."""

    @property
    def labels_N(self) -> npt.NDArray[np.int64]:  # noqa: N802 - a shape suffix
        """The class of every sample, in ``[0, K)``."""

    @property
    def num_train(self) -> int:
        """The number of samples of the training split. They are the first samples of the data set."""

    @property
    def num_validation(self) -> int:
        """The number of samples of the data set's own validation split, after the training split; 0 if it has none.

        The samples after it are the test split.
        """

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the K classes."""

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Further values of the samples, keyed by the name of the column: an array of shape (N,) for each column."""

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
        ValueError: If the arrays, the sizes of the splits and the names do not fit together.
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
        """The shape (C, H, W) of every image."""
        _, num_channels, height_pixels, width_pixels = self.images_NCHW.shape
        return num_channels, height_pixels, width_pixels

    def read_images(self, indices_B: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Return the pixels of these samples as a new array of shape (B, C, H, W)."""
        images_BCHW: npt.NDArray[np.uint8] = self.images_NCHW[indices_B]
        return images_BCHW
