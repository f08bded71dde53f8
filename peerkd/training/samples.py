"""A set of training samples as batches, epoch by epoch: the same batches for whoever asks.

Order and augmentation are functions of seed, set and epoch. Every student of one transfer set sees the same batches,
so that settings are compared on common random numbers and a teacher's logits can be computed once for all.

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
from peerkd.seeds import derive_seed, generator
from peerkd.training.bounds import batch_bounds, part_of
from peerkd.training.pixels import Pixels

_Views = tuple[Tensor, Tensor]
"""Augmented pixels, uint8 of shape (N, C, H, W), and labels of shape (B,)."""


class Batch(NamedTuple):
    """What one step trains on."""

    images_NCHW: Tensor
    """Augmented and normalised, float32, channels last in memory; all samples in view 0, then in view 1, and so on."""

    labels_B: Tensor

    num_samples: int
    """Of the whole batch: more than B where this is one part of several."""


class Batches(Protocol):
    """What a training reads, epoch by epoch."""

    @property
    def device(self) -> torch.device:
        """Where the batches are."""

    @property
    def num_batches(self) -> int:
        """Batches, and so steps, of one epoch."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""


class FirstBatches:
    """The first batches of each epoch of a set, as if there were no more."""

    def __init__(self, samples: Batches, num_batches: int) -> None:
        self._samples = samples
        self.device = samples.device
        self.num_batches = min(num_batches, samples.num_batches)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""
        return islice(self._samples.batches(epoch), self.num_batches)


class SampleSet:
    """The samples of one set and the batches they make."""

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
        """Describe a set; nothing is read until its first batch is asked for.

        Args:
            dataset: Where the images are.
            indices_S: Samples of the set.
            name: Tells the set's random order from that of others.
            batch_size: Largest batch; see ``batch_bounds``.
            crop_padding_pixels: Of the augmentation, see ``peerkd.data.augment``.
            horizontal_flip: Of the augmentation.
            seed: Of order and augmentation.
            device: Where the batches are made.
            resized_crop_min_area_fraction: Of the augmentation.
            cache_bytes: Augmented views (uint8) are kept while they fit in here, then made again each time.
            resident_bytes: See ``peerkd.training.pixels``.
        """
        self.name = name
        self._batch_size = batch_size
        self._seed = seed
        self.device = device
        self._cache_bytes = cache_bytes
        self._cached: dict[int, list[_Views]] = {}
        self._pixels = Pixels(dataset, indices_S, device=device, resident_bytes=resident_bytes)
        # Drawn for the whole data set: a sample's view does not depend on the set it is read in.
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
        """Batches, and so steps, of one epoch."""
        return len(batch_bounds(len(self), batch_size=self._batch_size)) - 1

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Numbers of samples that its batches have: one, or two that differ by one, the larger first."""
        bounds = batch_bounds(len(self), batch_size=self._batch_size)
        return tuple(sorted({stop - start for start, stop in pairwise(bounds)}, reverse=True))

    def batches(
        self, epoch: int, *, num_views: int = 1, first_batch: int = 0, part: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch.

        View 0 of a sample is the same whatever ``num_views`` is. The parts of a batch, one after another, are the
        batch.

        Args:
            epoch: Counted from 0.
            num_views: V, at least 1.
            first_batch: Batches before this one are not made; those from it on are as if they had been.
            part: Which of how many nearly equal parts of every batch to make, the first being 0.

        Raises:
            ValueError: If there is no such batch, or a part would have fewer samples than batch normalisation needs.
        """
        if not 0 <= first_batch <= self.num_batches:
            raise ValueError(f"first_batch must lie in [0, {self.num_batches}], got {first_batch}.")
        spans = list(pairwise(batch_bounds(len(self), batch_size=self._batch_size)))[first_batch:]
        parts = [part_of(span, part) for span in spans]
        is_whole = num_views == 1 and parts == spans and first_batch == 0
        made = self._kept_views(epoch, parts) if is_whole else self._make_views(epoch, num_views, parts)
        return self._normalized(made, num_samples=[stop - start for start, stop in spans])

    def in_order(self, batches: Sequence[Tensor], epoch: int) -> Tensor:
        """Return in the order of the set what was made of each sample of the batches of an epoch, shape (S, ...)."""
        values = torch.cat(list(batches))
        in_order = torch.empty_like(values)
        in_order[torch.from_numpy(self._order(epoch)).to(self.device)] = values
        return in_order

    def in_batches(self, values: Tensor, epoch: int) -> Sequence[Tensor]:
        """Return what belongs to each sample, shape (S, ...), as an epoch's batches have the samples."""
        sizes = [stop - start for start, stop in pairwise(batch_bounds(len(self), batch_size=self._batch_size))]
        return torch.split(values[torch.from_numpy(self._order(epoch)).to(self.device)], sizes)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        return generator(self._seed, "order", self.name, epoch).permutation(len(self))

    def _normalized(self, made: Iterator[_Views], *, num_samples: list[int]) -> Iterator[Batch]:
        for num_batch_samples, (views_NCHW, labels_B) in zip(num_samples, made, strict=True):
            images_NCHW = normalize(views_NCHW, mean_C=self._mean_C, std_C=self._std_C)
            yield Batch(images_NCHW.contiguous(memory_format=torch.channels_last), labels_B, num_batch_samples)

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
            # Kept only when the epoch was read to its end.
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
