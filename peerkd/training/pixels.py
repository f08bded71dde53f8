"""The pixels of batches, read from storage and moved to the device.

On an NVIDIA GPU, a packed data set is copied to the GPU once if it is not too large, and its batches are gathered
there. In all other cases a packed data set is read from mapped memory, batch by batch. Streamed images are decoded
ahead in the background.

Shape suffixes: S = samples of a set, B = batch, C = image channels, H W = image size.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peerkd.data.dataset import ImageDataset
from peerkd.data.streamed import StreamedDataset
from peerkd.training.cpu import num_reading_threads
from peerkd.training.devices import kind_of, num_gpus

_BLOCK_BYTES: Final = 2**26

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Pixels:
    """Reads the images of one set of samples, in batches."""

    def __init__(
        self,
        dataset: ImageDataset,
        indices_S: npt.NDArray[np.int64],
        *,
        device: torch.device,
        resident_bytes: int | None = None,
    ) -> None:
        """Store the arguments. No image is read before the first batch is requested.

        Args:
            dataset: The data set with the images.
            indices_S: Indices of the samples in the data set.
            device: The device of the batches.
            resident_bytes: The maximum size of a packed set that is copied to the device as a whole. None means the
                limit of the kind of device.
        """
        self._dataset = dataset
        self._indices_S = indices_S
        self._device = device
        self._is_streamed = isinstance(dataset, StreamedDataset)
        if resident_bytes is None:
            resident_bytes = kind_of(device).resident_bytes
        self._is_resident = not self._is_streamed and self.num_bytes <= resident_bytes
        self._images_SCHW: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """The size of all images of the set, in bytes."""
        return len(self._indices_S) * int(np.prod(self._dataset.image_shape))

    def read(self, order_S: npt.NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield the images of each batch as a uint8 tensor of shape BCHW on the device.

        Args:
            order_S: The positions of samples in the set, in the order of an epoch.
            spans: The start and the end of each batch in that order.
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
            num_threads = num_reading_threads(num_gpus=num_gpus(self._device))
            batches = prefetch(
                self._read,
                indices_of_batches,
                # Every thread has a batch to read while one waits to be used.
                num_ahead=num_threads + 1,
                num_threads=num_threads,
            )
        else:
            batches = (self._read(indices) for indices in indices_of_batches)
        for images_BCHW in batches:
            yield images_BCHW.to(self._device, non_blocking=kind_of(self._device).has_pinned_memory)

    def _read(self, indices_B: npt.NDArray[np.int64]) -> Tensor:
        images_BCHW = torch.from_numpy(self._dataset.read_images(indices_B))
        return images_BCHW.pin_memory() if kind_of(self._device).has_pinned_memory else images_BCHW

    def _load(self) -> Tensor:
        shape = (len(self._indices_S), *self._dataset.image_shape)
        images_SCHW = torch.empty(shape, dtype=torch.uint8, device=self._device)
        # The copy is made in blocks, so that the host need not have memory for the whole set.
        num_images = max(1, _BLOCK_BYTES // int(np.prod(self._dataset.image_shape)))
        for start in range(0, len(images_SCHW), num_images):
            block = slice(start, start + num_images)
            images_SCHW[block] = torch.from_numpy(self._dataset.read_images(self._indices_S[block]))
        return images_SCHW


def prefetch(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, num_ahead: int, num_threads: int
) -> Generator[_Result, None, None]:
    """Yield ``function(item)`` for every item in order, while threads compute the next results.

    Nothing starts before the first result is requested. When the iterator ends, is closed or is dropped, calls that
    have not begun are cancelled and the others are awaited. An exception of the function reaches the caller unchanged.

    Args:
        function: A function that releases the global interpreter lock while it works.
        items: The arguments, one for each result.
        num_ahead: The maximum number of results that are computed ahead of the one that is yielded, at least 1.
        num_threads: The number of threads.
    """
    pending: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="prefetch")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > num_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
