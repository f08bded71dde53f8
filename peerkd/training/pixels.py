"""The pixels of batches, read from where they are and brought to the device.

A packed data set that fits is copied to a GPU once, and batches are gathered there. One that does not, and any on the
CPU, is read from mapped memory batch by batch. Streamed images are decoded ahead, in the background.

Shape suffixes: S = samples of a set, B = batch, C = image channels, H W = image size.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peerkd.data.dataset import ImageDataset
from peerkd.data.streamed import StreamedDataset
from peerkd.training.prefetch import prefetch

_NUM_BATCHES_AHEAD = 3
_BLOCK_BYTES = 2**26
_GPU_RESIDENT_BYTES = 2**33


class Pixels:
    """The images of one set of samples."""

    def __init__(
        self,
        dataset: ImageDataset,
        indices_S: npt.NDArray[np.int64],
        *,
        device: torch.device,
        resident_bytes: int | None = None,
    ) -> None:
        """Describe a set; nothing is read until its first batch is asked for.

        Args:
            dataset: Where the images are.
            indices_S: Samples of the set.
            device: Where the batches are wanted.
            resident_bytes: A packed set of at most this size is copied to the device once. None: 8 GiB on a GPU, and
                nothing on the CPU, where mapped memory is as near.
        """
        self._dataset = dataset
        self._indices_S = indices_S
        self._device = device
        self._is_streamed = isinstance(dataset, StreamedDataset)
        if resident_bytes is None:
            resident_bytes = _GPU_RESIDENT_BYTES if device.type == "cuda" else 0
        self._is_resident = not self._is_streamed and self.num_bytes <= resident_bytes
        self._images_SCHW: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """Size of all images of the set."""
        return len(self._indices_S) * int(np.prod(self._dataset.image_shape))

    def read(self, order_S: npt.NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield the images of one batch after another: uint8, on the device.

        Args:
            order_S: Places in the set, in the order of an epoch.
            spans: Where in that order each batch begins and ends.
        """
        if self._is_resident:
            if self._images_SCHW is None:
                self._images_SCHW = self._load()
            device_order_S = torch.from_numpy(order_S).to(self._device)
            for start, stop in spans:
                yield self._images_SCHW.index_select(0, device_order_S[start:stop])
            return
        indices_of_batches = [self._indices_S[order_S[start:stop]] for start, stop in spans]
        if self._is_streamed:
            batches = prefetch(self._read, indices_of_batches, num_ahead=_NUM_BATCHES_AHEAD)
        else:
            batches = map(self._read, indices_of_batches)
        for images_BCHW in batches:
            yield images_BCHW.to(self._device, non_blocking=True)

    def _read(self, indices_B: npt.NDArray[np.int64]) -> Tensor:
        images_BCHW = torch.from_numpy(self._dataset.read_images(indices_B))
        # From pinned memory a GPU copies on its own, while the host goes on.
        return images_BCHW.pin_memory() if self._device.type == "cuda" else images_BCHW

    def _load(self) -> Tensor:
        shape = (len(self._indices_S), *self._dataset.image_shape)
        images_SCHW = torch.empty(shape, dtype=torch.uint8, device=self._device)
        # In blocks: the host need not hold the set, too.
        num_images = max(1, _BLOCK_BYTES // int(np.prod(self._dataset.image_shape)))
        for start in range(0, len(images_SCHW), num_images):
            block = slice(start, start + num_images)
            images_SCHW[block] = torch.from_numpy(self._dataset.read_images(self._indices_S[block]))
        return images_SCHW
