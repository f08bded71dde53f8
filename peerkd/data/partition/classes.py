"""Label skew by a fixed number of classes per peer."""

import heapq

import numpy as np

from peerkd.data.partition.apportion import largest_remainder, lift_to_one
from peerkd.data.partition.arrays import BoolArray, IntArray
from peerkd.data.partition.checks import check_at_least, check_labels, check_sizes
from peerkd.data.partition.deal import deal_classes


def partition_classes(
    labels: IntArray, *, sizes: IntArray, classes_per_peer: int, rng: np.random.Generator
) -> list[IntArray]:
    """Return a partition in which every peer holds exactly ``classes_per_peer`` distinct classes.

    The "pathological" skew of McMahan et al. 2017 (arXiv:1602.05629) with the
    number of classes made exact, as ``#C=k`` in NIID-Bench (Li et al. 2022,
    arXiv:2102.02079). Larger classes get more holders, at random among the
    peers, and each class is shared among its holders in proportion to their
    ``sizes``, at least one sample each.

    Guaranteed: disjoint, complete, every class held, exactly
    ``classes_per_peer`` classes per peer. Not guaranteed: ``sizes``. A peer
    cannot get more than its classes offer, so sizes are weights here; with
    equal sizes, balanced classes and ``num_peers * classes_per_peer`` a
    multiple of the number of classes they are met up to ``classes_per_peer``
    samples.

    Args:
        labels: (num_samples,) class of each sample.
        sizes: (num_peers,) each at least 1, summing to ``num_samples``.
        classes_per_peer: From 1 to the number of distinct labels.
        rng: Decides who holds which class and which samples of it.

    Returns:
        One ascending index array per peer.

    Raises:
        ValueError: If an argument is malformed, or the peers cannot hold all
            classes, or the classes have too few samples for so many holders.
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
    num_holders = _count_holders(class_totals, num_peers=num_peers, num_places=num_peers * classes_per_peer, rng=rng)
    is_held = _assign_holders(num_holders, num_peers=num_peers, classes_per_peer=classes_per_peer, rng=rng)
    counts = np.zeros((num_peers, num_classes), dtype=np.int64)
    for k in range(num_classes):
        holders = np.flatnonzero(is_held[:, k])
        counts[holders, k] = lift_to_one(largest_remainder(int(class_totals[k]), sizes[holders]))
    return deal_classes(classes, counts, rng=rng)


def _count_holders(class_totals: IntArray, *, num_peers: int, num_places: int, rng: np.random.Generator) -> IntArray:
    """Return how many peers hold each class: (num_classes,), at least 1, summing to ``num_places``.

    One more holder goes again and again to the class with most samples per
    holder, which keeps the largest such share as small as possible. Equal
    shares are told apart by ``rng``.
    """
    limits = np.minimum(class_totals, num_peers)
    if limits.sum() < num_places:
        raise ValueError(
            f"num_peers * classes_per_peer must be at most {limits.sum()}, as no class can have more holders than "
            f"samples (the smallest has {class_totals.min()}), got {num_peers} * {num_places // num_peers}."
        )
    num_holders = np.ones_like(class_totals)
    tie_breaks = rng.random(len(class_totals)).tolist()
    queue = [(-float(total), tie_breaks[k], k) for k, total in enumerate(class_totals) if limits[k] > 1]
    heapq.heapify(queue)
    for _ in range(num_places - len(class_totals)):
        _, tie_break, k = heapq.heappop(queue)
        num_holders[k] += 1
        if num_holders[k] < limits[k]:
            heapq.heappush(queue, (-class_totals[k] / num_holders[k], tie_break, k))
    return num_holders


def _assign_holders(
    num_holders: IntArray, *, num_peers: int, classes_per_peer: int, rng: np.random.Generator
) -> BoolArray:
    """Return who holds which class: (num_peers, num_classes), rows and columns summing as asked.

    Peers choose in turn, at random among the open places, but must take a
    class that needs every peer still to come. There are never more of those
    than one peer can take, since the open places are ``classes_per_peer`` per
    remaining peer; so the last peer always finds its classes.
    """
    is_held = np.zeros((num_peers, len(num_holders)), dtype=np.bool_)
    num_open = num_holders.copy()
    for peer in range(num_peers):
        # Efraimidis and Spirakis 2006: the largest values of log(u) / weight are a draw without replacement by weight.
        with np.errstate(divide="ignore"):
            keys = -rng.standard_exponential(len(num_open)) / num_open
        keys[num_open == num_peers - peer] = np.inf
        chosen = np.argsort(-keys)[:classes_per_peer]
        is_held[peer, chosen] = True
        num_open[chosen] -= 1
    return is_held
