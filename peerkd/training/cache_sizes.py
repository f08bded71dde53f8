"""The numbers of transfer sets and of teachers' logits that a sweep keeps in memory."""

import math
from typing import Final

from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment

NUM_NEIGHBOURS: Final = 2
"""The number of transfer sets that a sweep keeps. Neighbours in its plan often share one."""

_KEPT_LOGITS_BYTES: Final = 2**26
_KEPT_SETS_BYTES: Final = 2**28
"""Sizes of the caches of a tuned study. Such a study returns to a teacher and a set with other settings, at times that
are not known beforehand.
"""


def num_kept_logits(dataset: ImageDataset, assignment: Assignment) -> int:
    """Return the number of epochs for which a teacher's logits are kept, computed for the largest transfer set."""
    return _KEPT_LOGITS_BYTES // (4 * _max_transfer_samples(assignment) * dataset.num_classes)


def num_kept_sets(dataset: ImageDataset, assignment: Assignment, *, num_epochs: int) -> int:
    """Return the number of transfer sets that are kept with their batches, computed for the largest one."""
    set_bytes = num_epochs * _max_transfer_samples(assignment) * math.prod(dataset.image_shape)
    return max(_KEPT_SETS_BYTES // set_bytes, NUM_NEIGHBOURS)


def _max_transfer_samples(assignment: Assignment) -> int:
    *_, second, first = sorted(len(indices) for indices in assignment.train)
    return first + second + len(assignment.public)
