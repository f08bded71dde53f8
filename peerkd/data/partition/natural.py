"""Natural skew: the samples of a peer have one origin, such as a writer, a site or a camera."""

import heapq
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, IntArray
from peerkd.data.partition.checks import check_at_least
from peerkd.data.partition.deal import group_by_owner

# The text that Python, numpy and pandas write for a missing value.
_MISSING_TEXTS: Final = ("", "nan", "NaN", "None", "<NA>", "NaT")


def find_missing(ids: NDArray[Any]) -> BoolArray:
    """Return whether each id is missing: a number that is not finite, or text that is blank or marks a missing value.

    Args:
        ids: (num_samples,) numbers, truth values or text.
    """
    is_missing: BoolArray
    match ids.dtype.kind:
        case "f":
            is_missing = ~np.isfinite(ids)
        case "U":
            is_missing = np.isin(np.char.strip(ids), _MISSING_TEXTS)
        case "S":
            is_missing = np.isin(np.char.strip(ids), [text.encode() for text in _MISSING_TEXTS])
        case _:
            is_missing = np.zeros(ids.shape, np.bool_)
    return is_missing


def partition_natural(ids: NDArray[Any], *, num_peers: int, rng: np.random.Generator) -> list[IntArray]:
    """Return a partition in which all samples with one id belong to one peer.

    If there are as many ids as peers, peer ``p`` gets the ``p``-th id in sorted order. If there are more ids, the ids
    are dealt one after the other, the id with the most samples first. All samples of an id go to the peer that has the
    fewest samples so far. Graham 1969 proves that the largest peer then has less than 4/3 of the samples that the
    largest peer has in the best possible partition.

    Args:
        ids: (num_samples,) origin of each sample, as numbers or text; none is missing (see ``find_missing``).
        num_peers: From 1 to the number of distinct ids.
        rng: Generator that orders ids with equally many samples.

    Returns:
        One ascending index array per peer; disjoint and complete.

    Raises:
        ValueError: If ``ids`` is not a vector, or has fewer distinct ids than peers.
    """
    check_at_least("num_peers", num_peers, 1)
    if ids.ndim != 1:
        raise ValueError(f"ids must be a vector, got shape {ids.shape}.")
    _, id_of_sample, id_totals = np.unique(ids, return_inverse=True, return_counts=True)
    if len(id_totals) < num_peers:
        raise ValueError(f"num_peers must be at most the {len(id_totals)} distinct ids, got {num_peers}.")
    owners = _deal_largest_first(id_totals, num_peers=num_peers, rng=rng)
    # Peers are numbered by their first id, so that one id per peer keeps the order of the ids.
    _, first_ids, peer_of_id = np.unique(owners, return_index=True, return_inverse=True)
    peer_numbers = np.argsort(np.argsort(first_ids))
    return group_by_owner(peer_numbers[peer_of_id][id_of_sample], num_owners=num_peers)


def _deal_largest_first(id_totals: IntArray, *, num_peers: int, rng: np.random.Generator) -> IntArray:
    """Return the peer of each id, as an array of shape (num_ids,).

    The ids are dealt one after the other, the id with the most samples first. Each id goes to the peer with the fewest
    samples so far. Every peer therefore gets an id, because a peer without ids has no samples.
    """
    shuffled = rng.permutation(len(id_totals))
    owners = np.empty(len(id_totals), dtype=np.int64)
    queue = [(0, peer) for peer in range(num_peers)]
    for i in shuffled[np.argsort(-id_totals[shuffled], kind="stable")]:
        size, owners[i] = queue[0]
        heapq.heapreplace(queue, (size + int(id_totals[i]), int(owners[i])))
    return owners
