"""A set of training samples as batches, epoch by epoch: the same batches for whoever asks.

Order and augmentation are functions of seed, set and epoch. Every student of one transfer set sees the same batches,
so that settings are compared on common random numbers and a teacher's logits can be computed once for all.

Shape suffixes: N = samples of the set, B = batch, C = image channels, H W = image size.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peerkd.data.augment import apply_views, draw_views, normalize
from peerkd.data.dataset import ImageDataset
from peerkd.seeds import derive_seed, generator


class Batch(NamedTuple):
    """What one step trains on."""

    images_BCHW: Tensor
    """Augmented and normalised, float32, channels last in memory."""

    labels_B: Tensor


class SampleSet:
    """The samples of one set and the batches they make."""

    def __init__(
        self,
        dataset: ImageDataset,
        indices_N: npt.NDArray[np.int64],
        *,
        name: str,
        batch_size: int,
        crop_padding_pixels: int,
        horizontal_flip: bool,
        seed: int,
        device: torch.device,
        cache_bytes: int = 2**28,
    ) -> None:
        """Describe a set; nothing is read until its first batch is asked for.

        Args:
            dataset: Where the images are.
            indices_N: Samples of the set.
            name: Tells the set's random order from that of others.
            batch_size: Largest batch; see ``batch_bounds``.
            crop_padding_pixels: Of the augmentation, see ``peerkd.data.augment``.
            horizontal_flip: Of the augmentation.
            seed: Of order and augmentation.
            device: Where the batches are made.
            cache_bytes: Augmented views (uint8) are kept while they fit in here, then made again each time.
        """
        self.name = name
        self._dataset = dataset
        self._indices_N = indices_N
        self._batch_size = batch_size
        self._crop_padding_pixels = crop_padding_pixels
        self._horizontal_flip = horizontal_flip
        self._seed = seed
        self._device = device
        self._cache_bytes = cache_bytes
        self._cached: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self._mean_C = torch.tensor(dataset.channel_mean, device=device)
        self._std_C = torch.tensor(dataset.channel_std, device=device)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._indices_N)

    @property
    def num_batches(self) -> int:
        """Batches, and so steps, of one epoch."""
        return len(batch_bounds(len(self), batch_size=self._batch_size)) - 1

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch, counted from 0."""
        for views_BCHW, labels_B in self._epoch_views(epoch):
            images_BCHW = normalize(views_BCHW, mean_C=self._mean_C, std_C=self._std_C)
            yield Batch(images_BCHW.contiguous(memory_format=torch.channels_last), labels_B)

    def _epoch_views(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        if epoch in self._cached:
            yield from self._cached[epoch]
            return
        num_epoch_bytes = len(self) * int(np.prod(self._dataset.image_shape))
        keep = (len(self._cached) + 1) * num_epoch_bytes <= self._cache_bytes
        made: list[tuple[Tensor, Tensor]] = []
        for batch in self._make_views(epoch):
            if keep:
                made.append(batch)
            yield batch
        if keep:
            # Kept only when the epoch was read to its end.
            self._cached[epoch] = made

    def _make_views(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order_N = generator(self._seed, "order", self.name, epoch).permutation(self._indices_N)
        # Drawn for the whole data set: a sample's view does not depend on the set it is read in.
        views = draw_views(
            len(self._dataset.labels_N),
            seed=derive_seed(self._seed, "views"),
            epoch=epoch,
            crop_padding_pixels=self._crop_padding_pixels,
            horizontal_flip=self._horizontal_flip,
        ).to(self._device)
        bounds = batch_bounds(len(self), batch_size=self._batch_size)
        for start, stop in pairwise(bounds):
            indices_B = order_N[start:stop]
            images_BCHW = torch.from_numpy(self._dataset.read_images(indices_B)).to(self._device)
            labels_B = torch.from_numpy(self._dataset.labels_N[indices_B]).to(self._device)
            yield apply_views(images_BCHW, views, torch.from_numpy(indices_B).to(self._device)), labels_B


def batch_bounds(num_samples: int, *, batch_size: int) -> list[int]:
    """Return where the batches of an epoch begin and end: as few as ``batch_size`` allows, of nearly equal size.

    From a ``batch_size`` of 3 on, no batch has one sample, which batch normalisation cannot train on.
    """
    num_batches = -(-num_samples // batch_size)
    return [num_samples * batch // num_batches for batch in range(num_batches + 1)]
