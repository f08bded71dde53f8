"""A set of training samples in batches, epoch by epoch. Every reader gets the same batches.

Order and augmentation are functions of seed, set and epoch. Every student of one transfer set sees the same batches, so
settings are compared on common random numbers and a teacher's logits can be computed once for all students.

Shape suffixes: S = samples of the set, V = views, B = batch, N = V * B, C = image channels, H W = image size.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peerkd.data.augment import apply_views, draw_views, normalize
from peerkd.data.dataset import ImageDataset
from peerkd.models.memory_format import laid_out
from peerkd.seeds import derive_seed, generator
from peerkd.training.bounds import batch_bounds, part_of
from peerkd.training.pixels import Pixels

_Views = tuple[Tensor, Tensor]
"""The augmented pixels of a batch, uint8 of shape (N, C, H, W), and its labels, of shape (B,)."""


class Batch(NamedTuple):
    """The samples of one training step."""

    images_NCHW: Tensor
    """Augmented and normalised images, float32, in channels-last memory: first view 0 of all samples, then view 1, and
    so on.
    """

    labels_B: Tensor
    """The classes of the samples with labels. The last ``num_unlabelled`` samples have none."""

    num_samples: int
    """The number of samples in the whole batch. This object may contain only a part of the batch, and then has fewer
    samples."""

    num_unlabelled: int = 0
    """The number of samples without labels, which are the last samples of the batch. Only joined batches have such
    samples."""

    @property
    def size(self) -> "BatchSize":
        """The number of samples of this part of the batch."""
        return BatchSize(len(self.labels_B) + self.num_unlabelled, self.num_unlabelled)


class BatchSize(NamedTuple):
    """The size of a batch, on which the shapes of all tensors of a step depend."""

    num_samples: int
    """The number of samples, with labels and without."""

    num_unlabelled: int = 0
    """The number of samples without labels in a batch that also has samples with labels; 0 for any other batch."""

    @property
    def num_labelled(self) -> int:
        """The number of samples that count in the cross entropy."""
        return self.num_samples - self.num_unlabelled

    @property
    def num_taught(self) -> int:
        """The number of samples that count in the divergence."""
        return self.num_unlabelled or self.num_samples


class Batches(Protocol):
    """The batches of a training, epoch by epoch."""

    @property
    def device(self) -> torch.device:
        """The device of the batches."""

    @property
    def num_batches(self) -> int:
        """The number of batches, and so of steps, in one epoch."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""


class SizedBatches(Batches, Protocol):
    """Batches with sizes that are known before the first batch is computed."""

    @property
    def batch_sizes(self) -> Sequence[BatchSize]:
        """The sizes that the batches have, the largest first."""


class FirstBatches:
    """A set of samples whose epochs are shortened: each epoch ends after the first few batches."""

    def __init__(self, samples: Batches, num_batches: int) -> None:
        self._samples = samples
        self.device = samples.device
        self.num_batches = min(num_batches, samples.num_batches)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""
        return islice(self._samples.batches(epoch), self.num_batches)


class SampleSet:
    """A set of training samples, which returns the batches of each epoch."""

    def __init__(
        self,
        dataset: ImageDataset,
        indices_S: npt.NDArray[np.int64],
        *,
        name: str,
        batch_size: int,
        crop_padding_pixels: int,
        horizontal_flip: bool,
        seed: int,
        device: torch.device,
        resized_crop_min_area_fraction: float | None = None,
        cache_bytes: int = 2**28,
        resident_bytes: int | None = None,
    ) -> None:
        """Store the arguments. No image is read before the first batch is requested.

        Args:
            dataset: The data set with the images.
            indices_S: Indices of the samples in the data set.
            name: A name that distinguishes the set's random order from the orders of other sets.
            batch_size: The maximum size of a batch. All batches have nearly the same size.
            crop_padding_pixels: The width of the border of zeros that is added to an image before a random crop. 0
                means that images are not cropped.
            horizontal_flip: Whether images may be mirrored left to right.
            seed: The seed of order and augmentation.
            device: The device of the batches.
            resized_crop_min_area_fraction: The smallest area of a resized crop, as a fraction of the image's area. None
                means no resized crops.
            cache_bytes: The maximum size of the augmented images (uint8) that are kept in memory. Only whole epochs are
                kept; all other epochs are computed each time.
            resident_bytes: The maximum size of a packed set that is copied to the device as a whole. None means the
                limit of the kind of device.
        """
        self.name = name
        self._batch_size = batch_size
        self._seed = seed
        self.device = device
        self._cache_bytes = cache_bytes
        self._cached: dict[int, list[_Views]] = {}
        self._pixels = Pixels(dataset, indices_S, device=device, resident_bytes=resident_bytes)
        # Views are drawn for the whole data set, so the view of a sample does not depend on the set.
        self._draw_views = partial(
            draw_views,
            len(dataset.labels_N),
            crop_padding_pixels=crop_padding_pixels,
            horizontal_flip=horizontal_flip,
            resized_crop_min_area_fraction=resized_crop_min_area_fraction,
        )
        self._indices_S = torch.from_numpy(indices_S).to(device)
        self._labels_S = torch.from_numpy(dataset.labels_N[indices_S]).to(device)
        self._mean_C = torch.tensor(dataset.channel_mean, device=device)
        self._std_C = torch.tensor(dataset.channel_std, device=device)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._indices_S)

    @property
    def num_batches(self) -> int:
        """The number of batches, and so of steps, in one epoch."""
        return len(batch_bounds(len(self), batch_size=self._batch_size)) - 1

    @property
    def batch_sizes(self) -> tuple[BatchSize, ...]:
        """The sizes that the batches have: one size, or two that differ by one, the larger first."""
        bounds = batch_bounds(len(self), batch_size=self._batch_size)
        return tuple(sorted({BatchSize(stop - start) for start, stop in pairwise(bounds)}, reverse=True))

    def batches(
        self, epoch: int, *, num_views: int = 1, first_batch: int = 0, part: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch.

        Args:
            epoch: The epoch, counted from 0.
            num_views: V, at least 1.
            first_batch: The index of the first batch to compute. Skipping earlier batches does not change later ones.
            part: The index of one part, from 0, and the number of nearly equal parts into which every batch is divided.

        Raises:
            ValueError: If no batch has the index ``first_batch``, or a part would have fewer than two samples, on which
                batch normalisation cannot train.
        """
        if not 0 <= first_batch <= self.num_batches:
            raise ValueError(f"first_batch must be from 0 to {self.num_batches}, got {first_batch}.")
        spans = list(pairwise(batch_bounds(len(self), batch_size=self._batch_size)))[first_batch:]
        parts = [part_of(span, part) for span in spans]
        is_whole = num_views == 1 and parts == spans and first_batch == 0
        made = self._kept_views(epoch, parts) if is_whole else self._make_views(epoch, num_views, parts)
        return self._normalized(made, num_samples=[stop - start for start, stop in spans])

    def in_order(self, batches: Sequence[Tensor], epoch: int) -> Tensor:
        """Return the values of the samples in the order of the set, given the values by batch of an epoch.

        Args:
            batches: The values of the samples in each batch of the epoch, of shape (B, ...).
            epoch: The epoch, counted from 0.

        Returns:
            The values, of shape (S, ...).
        """
        values = torch.cat(list(batches))
        in_order = torch.empty_like(values)
        in_order[torch.from_numpy(self._order(epoch)).to(self.device)] = values
        return in_order

    def in_batches(self, values: Tensor, epoch: int) -> Sequence[Tensor]:
        """Return the values of the samples by batch of an epoch, given the values in the order of the set.

        Args:
            values: The values in the order of the set, of shape (S, ...).
            epoch: The epoch, counted from 0.

        Returns:
            The values of the samples in each batch, of shape (B, ...).
        """
        sizes = [stop - start for start, stop in pairwise(batch_bounds(len(self), batch_size=self._batch_size))]
        return torch.split(values[torch.from_numpy(self._order(epoch)).to(self.device)], sizes)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        return generator(self._seed, "order", self.name, epoch).permutation(len(self))

    def _normalized(self, made: Iterator[_Views], *, num_samples: list[int]) -> Iterator[Batch]:
        for num_batch_samples, (views_NCHW, labels_B) in zip(num_samples, made, strict=True):
            images_NCHW = normalize(views_NCHW, mean_C=self._mean_C, std_C=self._std_C)
            yield Batch(laid_out(images_NCHW), labels_B, num_batch_samples)

    def _kept_views(self, epoch: int, spans: list[tuple[int, int]]) -> Iterator[_Views]:
        if epoch in self._cached:
            yield from self._cached[epoch]
            return
        keep = (len(self._cached) + 1) * self._pixels.num_bytes <= self._cache_bytes
        made: list[_Views] = []
        for batch in self._make_views(epoch, 1, spans):
            if keep:
                made.append(batch)
            yield batch
        if keep:
            # An epoch is kept only if it was read to its end.
            self._cached[epoch] = made

    def _make_views(self, epoch: int, num_views: int, spans: list[tuple[int, int]]) -> Iterator[_Views]:
        order_S = self._order(epoch)
        device_order_S = torch.from_numpy(order_S).to(self.device)
        views = [
            self._draw_views(seed=derive_seed(self._seed, "views", *([view] if view else [])), epoch=epoch).to(
                self.device
            )
            for view in range(num_views)
        ]
        for (start, stop), images_BCHW in zip(spans, self._pixels.read(order_S, spans), strict=True):
            places_B = device_order_S[start:stop]
            indices_B = self._indices_S[places_B]
            views_NCHW = torch.cat([apply_views(images_BCHW, view, indices_B) for view in views])
            yield views_NCHW, self._labels_S[places_B]
