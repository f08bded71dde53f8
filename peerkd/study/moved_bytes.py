"""The bytes that leave the teachers of a study, on each kind of transfer set.

``TransferSetFacts.moves`` specifies what leaves a teacher: images, weights or logits. These are counted once for each
student of the teacher, because they serve all settings and all trials of a pair. Labels and numbers of samples by class
are not counted, because each takes only a few bytes.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from peerkd.study.transfer_sets import TRANSFER_SETS, SourceSizes

_BYTES_PER_LOGIT: Final = 4


def logits_bytes(num_samples: int, num_classes: int) -> int:
    """Return the size in bytes of the logits of some samples."""
    return num_samples * num_classes * _BYTES_PER_LOGIT


class TeacherSizes(NamedTuple):
    """The sizes on which the bytes that leave one teacher depend."""

    num_own_samples: int
    """The number of the teacher's training samples."""

    weights_bytes: int


class MovedBytes(NamedTuple):
    """The numbers of bytes that leave teachers as images, as weights and as logits."""

    images: int
    """Raw samples, with one byte for each value of an image."""

    weights: int
    logits: int


def moved_bytes(
    transfer_set: str,
    teachers: Iterable[TeacherSizes],
    *,
    num_students: int,
    num_public_samples: int,
    bytes_per_image: int,
    num_classes: int,
    num_views: int,
) -> MovedBytes:
    """Return the bytes that leave all teachers together for the distillations on one kind of transfer set.

    Args:
        transfer_set: The kind.
        teachers: The teachers.
        num_students: The number of students of each teacher.
        num_public_samples: The size of the public set.
        bytes_per_image: The size of one image.
        num_classes: The number of logits of a sample.
        num_views: The number of times that a teacher predicts each sample: once, or once in each epoch if the views or
            the predictions differ between epochs.
    """
    facts = TRANSFER_SETS[transfer_set]
    images = weights = logits = 0
    for teacher in teachers:
        # Logits leave a teacher only for samples of its own or of the public set.
        sizes = SourceSizes(student=0, teacher=teacher.num_own_samples, public=num_public_samples)
        if "samples" in facts.moves:
            images += teacher.num_own_samples * bytes_per_image
        if "weights" in facts.moves:
            weights += teacher.weights_bytes
        if "logits" in facts.moves:
            logits += logits_bytes(sizes.total(facts.taught_sources) * num_views, num_classes)
    return MovedBytes(images * num_students, weights * num_students, logits * num_students)
