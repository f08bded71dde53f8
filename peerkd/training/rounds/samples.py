"""The batches of rounds.

In a round, a peer that trains on its own samples takes the same batches in the same order with every method. The only
exception is a method that trains on the samples of all peers together.
"""

from collections.abc import Iterator
from typing import TypeAlias

from peerkd.training.joined_samples import JoinedSamples, batches_of_passes
from peerkd.training.samples import Batch, Batches, SampleSet


class OwnPart:
    """The own samples of a peer in joined batches, without the public samples of these batches."""

    def __init__(self, joined: JoinedSamples) -> None:
        self._joined = joined
        self.device = joined.device
        self.name = joined.name

    @property
    def num_batches(self) -> int:
        """The number of batches, and so of steps, in one epoch."""
        return self._joined.num_batches

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""
        return self._joined.labelled_batches(epoch)


class RepeatedPasses:
    """A set of samples whose epochs have a given number of batches, whatever the number of batches in the set.

    Each epoch continues where the previous epoch ended, so that all samples are used equally often.
    """

    def __init__(self, samples: SampleSet, num_batches: int) -> None:
        self._samples, self.num_batches = samples, num_batches
        self.device = samples.device

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""
        return batches_of_passes(self._samples, epoch * self.num_batches, self.num_batches)


class LaterEpochs:
    """The batches of a round.

    Epoch i of the round is epoch ``first_epoch + i`` of ``samples``. Every round has another ``first_epoch``, so it
    also has another order and other views of the samples.
    """

    def __init__(self, samples: Batches, first_epoch: int) -> None:
        self._samples, self._first_epoch = samples, first_epoch
        self.device = samples.device
        self.num_labelled = 0
        """The number of samples with labels in all batches that have been yielded."""
        self.num_unlabelled = 0
        """The number of samples without labels in all batches that have been yielded."""

    @property
    def num_batches(self) -> int:
        """The number of batches, and so of steps, in one epoch."""
        return self._samples.num_batches

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return an iterator over the batches of one epoch, counted from 0."""
        for batch in self._samples.batches(self._first_epoch + epoch):
            self.num_labelled += len(batch.labels_B)
            self.num_unlabelled += batch.num_unlabelled
            yield batch


RoundSamples: TypeAlias = SampleSet | JoinedSamples | OwnPart
"""The samples on which a peer trains in a round."""
