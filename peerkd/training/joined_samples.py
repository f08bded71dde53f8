"""Two sets of samples in joined batches: one with labels, for the cross entropy, and one without, for the divergence.

The sets may differ in size. An epoch is one pass over the set with more batches, so that it omits no sample. The other
set is passed through again and again, each time in a new order. Its passes continue from one epoch to the next, so that
all its samples are used equally often, however many batches an epoch has.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count, islice
from typing import TypeAlias

import torch
from torch import Tensor

from peerkd.models.memory_format import laid_out
from peerkd.training.samples import Batch, BatchSize, SampleSet


class JoinedSamples:
    """Two sets of samples, one with labels and one without. Each batch joins a batch of each set, labels first."""

    def __init__(self, labelled: SampleSet, unlabelled: SampleSet) -> None:
        """Join two sets. Their batches are computed when they are requested."""
        self._labelled, self._unlabelled = labelled, unlabelled
        self.device = labelled.device
        self.name = f"{labelled.name} and {unlabelled.name}"

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._labelled) + len(self._unlabelled)

    @property
    def num_batches(self) -> int:
        """The number of batches, and so of steps, in one epoch."""
        return max(self._labelled.num_batches, self._unlabelled.num_batches)

    @property
    def batch_sizes(self) -> tuple[BatchSize, ...]:
        """The sizes that the batches may have, the largest first."""
        sizes = [
            BatchSize(labelled.num_samples + unlabelled.num_samples, unlabelled.num_samples)
            for labelled in self._labelled.batch_sizes
            for unlabelled in self._unlabelled.batch_sizes
        ]
        return tuple(sorted(sizes, reverse=True))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""
        for labelled, unlabelled in zip(
            self._part(self._labelled, epoch), self._part(self._unlabelled, epoch), strict=True
        ):
            images_NCHW = torch.cat([labelled.images_NCHW, unlabelled.images_NCHW])
            yield Batch(
                laid_out(images_NCHW),
                labelled.labels_B,
                labelled.num_samples + unlabelled.num_samples,
                unlabelled.num_samples,
            )

    def labelled_batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the labelled parts of the batches of one epoch, counted from 0."""
        return self._part(self._labelled, epoch)

    def unlabelled_epochs(self, epochs: range) -> range:
        """Return the epochs of the set without labels from which the given joined epochs take batches.

        The two kinds of epochs differ, because a joined epoch may contain several passes over the set without labels,
        and the last of these passes may continue in the next joined epoch.

        Args:
            epochs: Epochs of the joined samples, counted from 0.
        """
        num_batches = self._unlabelled.num_batches
        last_batch = epochs.stop * self.num_batches - 1
        return range(epochs.start * self.num_batches // num_batches, last_batch // num_batches + 1)

    def in_batches(self, values: Mapping[int, Sequence[Tensor]], epoch: int) -> Sequence[Tensor]:
        """Return the values of the samples without labels for each batch of an epoch of the joined samples.

        Args:
            values: The values by epoch and batch of the set without labels, for all ``unlabelled_epochs``.
            epoch: The epoch of the joined samples, counted from 0.
        """
        first = epoch * self.num_batches
        places = [divmod(batch, self._unlabelled.num_batches) for batch in range(first, first + self.num_batches)]
        return [values[its_epoch][its_batch] for its_epoch, its_batch in places]

    def _part(self, samples: SampleSet, epoch: int) -> Iterator[Batch]:
        """Return an iterator over one set's part of the batches of an epoch."""
        return batches_of_passes(samples, epoch * self.num_batches, self.num_batches)


def batches_of_passes(samples: SampleSet, first_batch: int, num_batches: int) -> Iterator[Batch]:
    """Return an iterator over some batches of a training that passes through a set again and again.

    Batch g of the training, counted from 0, contains batch ``g mod m`` of the set's epoch ``g div m``, where m is the
    number of batches of the set.

    Args:
        samples: The set.
        first_batch: The first batch to return.
        num_batches: The number of batches to return.
    """
    its_epoch, num_skipped = divmod(first_batch, samples.num_batches)
    endless = chain.from_iterable(map(samples.batches, count(its_epoch)))
    return islice(endless, num_skipped, num_skipped + num_batches)


TransferSamples: TypeAlias = SampleSet | JoinedSamples
"""The samples of a transfer set: one set, or two sets in joined batches."""
