"""The numbers of transfer sets and of teachers' logits that a sweep keeps in memory."""

import math
from typing import Final

from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment

NUM_NEIGHBOURS: Final = 2
"""The number of transfer sets that a full sweep keeps, because successive units of its plan often have the same one."""

_KEPT_LOGITS_BYTES: Final = 2**26
_KEPT_SETS_BYTES: Final = 2**28
"""The sizes of the caches of a tuned study, for logits and for transfer sets.

Such a study trains a pair again with other settings, at times that are not known beforehand.
"""


def num_kept_logits(dataset: ImageDataset, assignment: Assignment) -> int:
    """Return how many epochs of teacher logits fit into their cache if the transfer set is the largest one."""
    return _KEPT_LOGITS_BYTES // (4 * _max_transfer_samples(assignment) * dataset.num_classes)


def num_kept_sets(dataset: ImageDataset, assignment: Assignment, *, num_epochs: int) -> int:
    """Return the number of transfer sets that fit into their cache with all batches if each is as large as the largest.

    It is at least ``NUM_NEIGHBOURS``.
    """
    set_bytes = num_epochs * _max_transfer_samples(assignment) * math.prod(dataset.image_shape)
    return max(_KEPT_SETS_BYTES // set_bytes, NUM_NEIGHBOURS)


def _max_transfer_samples(assignment: Assignment) -> int:
    *_, second, first = sorted(len(indices) for indices in assignment.train)
    return first + second + len(assignment.public)
