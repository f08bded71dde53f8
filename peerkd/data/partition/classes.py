"""Label skew with a fixed number of classes per peer."""

import heapq

import numpy as np

from peerkd.arrays import BoolArray, IntArray
from peerkd.data.partition.apportion import largest_remainder, lift_to_one
from peerkd.data.partition.checks import check_at_least, check_labels, check_sizes
from peerkd.data.partition.deal import deal_classes


def partition_classes(
    labels: IntArray, *, sizes: IntArray, classes_per_peer: int, rng: np.random.Generator
) -> list[IntArray]:
    """Return a partition in which every peer has exactly ``classes_per_peer`` distinct classes.

    This is the "pathological" skew of McMahan et al. 2017 (arXiv:1602.05629)
    with an exact number of classes, called ``#C=k`` in NIID-Bench (Li et al.
    2022, arXiv:2102.02079). Larger classes are assigned to more peers, which
    are chosen at random. The samples of a class are divided among its peers in
    proportion to their ``sizes``, with at least one sample each.

    The partition is disjoint and complete, every class is assigned, and every peer has exactly ``classes_per_peer``
    classes. The ``sizes`` are only weights, because a peer cannot get more samples than its classes have. If all sizes
    are equal, the classes are balanced and ``num_peers * classes_per_peer`` is a multiple of the number of classes,
    then the number of samples of each peer differs from its size by at most ``classes_per_peer``.

    Args:
        labels: (num_samples,) class of each sample.
        sizes: (num_peers,) each at least 1, summing to ``num_samples``.
        classes_per_peer: From 1 to the number of distinct labels.
        rng: Generator that assigns classes to peers, and samples within a class.

    Returns:
        One ascending index array per peer.

    Raises:
        ValueError: If an argument is malformed, there are more classes than ``num_peers * classes_per_peer``, or the
            classes have too few samples for all peers.
    """
    check_labels(labels)
    check_sizes(sizes, num_samples=len(labels))
    check_at_least("classes_per_peer", classes_per_peer, 1)
    _, classes, class_totals = np.unique(labels, return_inverse=True, return_counts=True)
    num_peers, num_classes = len(sizes), len(class_totals)
    if classes_per_peer > num_classes:
        raise ValueError(
            f"classes_per_peer must be at most the {num_classes} classes in labels, got {classes_per_peer}."
        )
    if num_peers * classes_per_peer < num_classes:
        raise ValueError(
            f"num_peers * classes_per_peer must be at least the {num_classes} classes in labels, "
            f"got {num_peers} * {classes_per_peer}."
        )
    num_owners = _count_owners(class_totals, num_peers=num_peers, num_places=num_peers * classes_per_peer, rng=rng)
    is_owned = _assign_owners(num_owners, num_peers=num_peers, classes_per_peer=classes_per_peer, rng=rng)
    counts = np.zeros((num_peers, num_classes), dtype=np.int64)
    for k in range(num_classes):
        owners = np.flatnonzero(is_owned[:, k])
        counts[owners, k] = lift_to_one(largest_remainder(int(class_totals[k]), sizes[owners]))
    return deal_classes(classes, counts, rng=rng)


def _count_owners(class_totals: IntArray, *, num_peers: int, num_places: int, rng: np.random.Generator) -> IntArray:
    """Return the number of peers that own each class, at least 1, as an array of shape (num_classes,).

    The numbers sum to ``num_places``, which is the number of peers times the number of classes of each peer. Every
    class begins with one owner. Then one owner at a time is added to the class with the most samples per owner. This
    makes the largest number of samples per owner as small as possible. ``rng`` breaks ties.
    """
    limits = np.minimum(class_totals, num_peers)
    if limits.sum() < num_places:
        raise ValueError(
            f"num_peers * classes_per_peer must be at most {limits.sum()}, because a class cannot have more "
            f"owners than samples (the smallest class has {class_totals.min()}), "
            f"got {num_peers} * {num_places // num_peers}."
        )
    num_owners = np.ones_like(class_totals)
    tie_breaks = rng.random(len(class_totals)).tolist()
    queue = [(-float(total), tie_breaks[k], k) for k, total in enumerate(class_totals) if limits[k] > 1]
    heapq.heapify(queue)
    for _ in range(num_places - len(class_totals)):
        _, tie_break, k = heapq.heappop(queue)
        num_owners[k] += 1
        if num_owners[k] < limits[k]:
            heapq.heappush(queue, (-class_totals[k] / num_owners[k], tie_break, k))
    return num_owners


def _assign_owners(
    num_owners: IntArray, *, num_peers: int, classes_per_peer: int, rng: np.random.Generator
) -> BoolArray:
    """Return whether each peer owns each class, as an array of shape (num_peers, num_classes).

    Every row sums to ``classes_per_peer`` and column ``k`` to ``num_owners[k]``.

    Class ``k`` begins with ``num_owners[k]`` open places. The peers choose their classes one after the other, at random
    among the open places. If a class has as many open places as there are peers left, each of these peers must take
    this class. The peers can always do so: with R peers left, ``R * classes_per_peer`` places are open, so at most
    ``classes_per_peer`` classes have R open places. No peer therefore has to take more than ``classes_per_peer``
    classes, and the last peer always finds enough.
    """
    is_owned = np.zeros((num_peers, len(num_owners)), dtype=np.bool_)
    num_open = num_owners.copy()
    for peer in range(num_peers):
        # Efraimidis and Spirakis 2006: the largest values of log(u) / weight are a weighted draw without replacement.
        with np.errstate(divide="ignore"):
            keys = -rng.standard_exponential(len(num_open)) / num_open
        keys[num_open == num_peers - peer] = np.inf
        chosen = np.argsort(-keys)[:classes_per_peer]
        is_owned[peer, chosen] = True
        num_open[chosen] -= 1
    return is_owned
