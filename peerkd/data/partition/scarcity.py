"""Warnings about sets and classes that have too few samples after a data set is divided.

A warning does not stop a run. A division that makes a run meaningless is refused when the data are divided.

Shape suffixes: P = peers, K = classes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from peerkd.arrays import BoolArray, IntArray
from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.skew import class_counts
from peerkd.data.wording import listed
from peerkd.wording import called, plural

MIN_EVALUATION_SAMPLES: Final = 10
"""The smallest size of a validation or test set that causes no warning. In a set of 10 samples, one sample changes the
accuracy by 10 percentage points."""


def find_scarcities(
    labels: IntArray,
    assignment: Assignment,
    *,
    class_names: Sequence[str],
    peer_names: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    is_known_PK: BoolArray | None = None,
) -> list[str]:
    """Return a sentence for each kind of set or class that has too few samples.

    Args:
        labels: (num_samples,) class of each sample, in ``range(K)``.
        assignment: The samples of each peer.
        class_names: Names of the K classes.
        peer_names: Names of the P peers; their numbers if it is empty.
        fields: The config field that sets the sizes of the peers' own sets, for ``validation`` and ``test``. A split is
            omitted if no field does, because the data set has the split.
        is_known_PK: (P, K) whether the network of each peer knows each class. A peer that has no training sample of a
            class that its network does not know causes no warning. None: each network knows all classes.
    """
    names = peer_names or [str(peer) for peer in range(assignment.num_peers)]
    train_PK = class_counts(labels, assignment.train, num_classes=len(class_names))
    own_test_PK = class_counts(labels, assignment.own_test, num_classes=len(class_names))
    test_K, validation_K = class_counts(labels, (assignment.test, assignment.validation), num_classes=len(class_names))
    total_K = np.bincount(labels, minlength=len(class_names))
    sentences = [
        *_unseen_classes(train_PK.sum(axis=0), validation_K, test_K, total_K, class_names),
        *_small_evaluation_sets(assignment, names, fields or {}),
    ]
    if assignment.num_peers > 1:
        sentences += _missing_classes(train_PK, test_K, own_test_PK, class_names, names, is_known_PK)
    return sentences


def small_training_sets(
    sizes_P: IntArray, batch_sizes: Mapping[str, int], *, peer_names: Sequence[str] = ()
) -> list[str]:
    """Return a sentence for each batch size that is larger than a training set.

    Args:
        sizes_P: Sizes of the training sets.
        batch_sizes: Batch sizes, keyed by the name of the config field.
        peer_names: Names of the P peers; their numbers if it is empty.
    """
    names = peer_names or [str(peer) for peer in range(len(sizes_P))]
    sentences = []
    fields: dict[int, list[str]] = {}
    for field, batch_size in batch_sizes.items():
        fields.setdefault(batch_size, []).append(field)
    for batch_size, named_fields in fields.items():
        small = np.flatnonzero(sizes_P < batch_size)
        small = small[np.argsort(sizes_P[small], kind="stable")]
        if not small.size:
            continue
        if len(sizes_P) == 1:
            subject, named = "The training set has fewer samples", [f"{sizes_P[0]:,}"]
        else:
            subject = f"{plural(len(small), 'peer')} with fewer training samples"
            named = [f"{called(names[peer])} has {sizes_P[peer]:,}" for peer in small.tolist()]
        sentences.append(
            f"{subject} than a batch of {batch_size} ({', '.join(named_fields)}), so an epoch is a single step: "
            f"{listed(named)}."
        )
    return sentences


def _unseen_classes(
    train_K: IntArray, validation_K: IntArray, test_K: IntArray, total_K: IntArray, class_names: Sequence[str]
) -> list[str]:
    """Return a sentence for each split (training, validation or test) in which some classes have no sample.

    A class that has no sample in the whole data set does not count.
    """
    sentences = []
    for is_lacking_K, what, consequence in (
        (train_K == 0, "training", "no peer learns"),
        (validation_K == 0, "validation", "no choice considers"),
        (test_K == 0, "test", "no reported accuracy counts"),
    ):
        lacking = np.flatnonzero(is_lacking_K & (total_K > 0)).tolist()
        if lacking:
            names = [f"{_class(class_names[k])} ({plural(int(total_K[k]), 'sample')} in all)" for k in lacking]
            sentences.append(
                f"{plural(len(names), 'class', 'classes')} without a {what} sample, so {consequence} "
                f"{'it' if len(names) == 1 else 'them'}: {listed(names)}."
            )
    return sentences


def _small_evaluation_sets(assignment: Assignment, peer_names: Sequence[str], fields: Mapping[str, str]) -> list[str]:
    sentences = []
    for what, everyone, owns in (
        ("validation", assignment.validation, assignment.own_validation),
        ("test", assignment.test, assignment.own_test),
    ):
        if len(everyone) < MIN_EVALUATION_SAMPLES:
            sentences.append(
                f"The {what} set has {plural(len(everyone), 'sample')}: each is worth {100 / len(everyone):.0f} points "
                "of accuracy."
            )
        sizes = {peer: len(own) for peer, own in enumerate(owns) if 0 < len(own) < MIN_EVALUATION_SAMPLES}
        if sizes:
            by_size = sorted(sizes.items(), key=lambda item: item[1])
            named = [f"{called(peer_names[peer])} has {size}" for peer, size in by_size]
            larger = f" To hold out more, raise {fields[what]}." if what in fields else ""
            sentences.append(
                f"{plural(len(sizes), 'peer')} with fewer than {MIN_EVALUATION_SAMPLES} {what} samples of their own, "
                f"each worth up to {100 / min(sizes.values()):.0f} points of accuracy: "
                f"{listed(named)}.{larger}"
            )
    return sentences


def _missing_classes(
    train_PK: IntArray,
    test_K: IntArray,
    own_test_PK: IntArray,
    class_names: Sequence[str],
    peer_names: Sequence[str],
    is_known_PK: BoolArray | None,
) -> list[str]:
    """Return sentences about peers that are tested on classes of which they have no training sample."""
    sentences = []
    is_lacking_PK: BoolArray = (train_PK == 0) & (test_K > 0)
    if is_known_PK is not None:
        is_lacking_PK &= is_known_PK
    num_lacking_P = is_lacking_PK.sum(axis=1)
    if num_lacking_P.any():
        most = int(num_lacking_P.argmax())
        names = [_class(class_names[k]) for k in np.flatnonzero(is_lacking_PK[most]).tolist()]
        sentences.append(
            f"{np.count_nonzero(num_lacking_P):,} of {len(train_PK):,} peers have no training sample of some class in "
            f"the test set. {_at_start(called(peer_names[most]))} lacks the most, {len(names):,} of "
            f"{np.count_nonzero(test_K):,}: {listed(names)}."
        )
    untrained = np.argwhere((train_PK == 0) & (own_test_PK > 0)).tolist()
    if untrained:
        named = [f"{called(peer_names[peer])} on {_class(class_names[k])}" for peer, k in untrained]
        sentences.append(f"Some peers are tested on classes of which they have no training sample: {listed(named)}.")
    return sentences


def _at_start(peer: str) -> str:
    """Return the name of a peer for the beginning of a sentence. The name that a user gave is not changed."""
    return f"P{peer[1:]}" if peer.startswith("peer ") else peer


def _class(name: str) -> str:
    """Return the name of a class for a sentence: a name that is a number gets the word class, as in ``class 3``."""
    return f"class {name}" if name.isdecimal() else name
