"""The numbers of transfer sets and of teachers' logits that a sweep keeps in memory."""

import math
from typing import Final

from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment

NUM_NEIGHBOURS: Final = 2
"""The number of transfer sets that a process of a full sweep keeps in memory. Successive units of the plan often share
a transfer set."""

_KEPT_LOGITS_BYTES: Final = 2**26
"""The maximum size of the teachers' logits that a process of a tuned study keeps in memory."""
_KEPT_SETS_BYTES: Final = 2**28
"""The maximum size of the transfer sets that a process of a tuned study keeps in memory.

They are kept because a tuned study may train a pair again at any time, with another setting.
"""


def num_kept_logits(dataset: ImageDataset, assignment: Assignment) -> int:
    """Return how many sets of teacher logits a process of a tuned study keeps in memory.

    A set consists of the logits of one teacher on one transfer set in one epoch.

    The number is computed for the largest possible transfer set: the data of the two largest peers and the public set.
    """
    return _KEPT_LOGITS_BYTES // (4 * _max_transfer_samples(assignment) * dataset.num_classes)


def num_kept_sets(dataset: ImageDataset, assignment: Assignment, *, num_epochs: int) -> int:
    """Return how many transfer sets a process of a tuned study keeps, with the batches of all their epochs.

    The number is computed for the largest possible transfer set: the data of the two largest peers and the public set.
    It is at least ``NUM_NEIGHBOURS``.
    """
    set_bytes = num_epochs * _max_transfer_samples(assignment) * math.prod(dataset.image_shape)
    return max(_KEPT_SETS_BYTES // set_bytes, NUM_NEIGHBOURS)


def _max_transfer_samples(assignment: Assignment) -> int:
    *_, second, first = sorted(len(indices) for indices in assignment.train)
    return first + second + len(assignment.public)
