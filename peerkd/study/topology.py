"""The partners of each peer: graphs of peers, as plain lists of edges.

An edge is a pair of peers, the smaller number first. Two peers with an edge are partners: each of them receives what
the other sends.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    # Configs check topologies too, and reading a config does not need numpy.
    import numpy as np

Edge: TypeAlias = tuple[int, int]

_MAX_ATTEMPTS: Final = 1_000
"""The largest number of attempts to draw a regular graph. A few attempts suffice unless the graph is nearly
complete."""


def complete(num_peers: int) -> list[Edge]:
    """Return the edges between all peers."""
    return list(combinations(range(num_peers), 2))


def ring(num_peers: int) -> list[Edge]:
    """Return the edges between each peer and the next one, and between the last and the first."""
    return sorted({_edge(peer, (peer + 1) % num_peers) for peer in range(num_peers)})


def random_regular(num_peers: int, *, num_partners: int, rng: "np.random.Generator") -> list[Edge]:
    """Return a random graph in which every peer has the same number of partners.

    Every peer begins with ``num_partners`` free ends of edges. Pairs of free ends are joined at random, but never two
    ends of one peer, nor ends of two peers that have an edge already. If only such forbidden pairs are left, the
    drawing starts again (Steger and Wormald 1999, Combinatorics, Probability and Computing 8).

    Raises:
        ValueError: If a peer cannot have so many partners, or the product of peers and partners is odd.
    """
    check_regular(num_peers, num_partners=num_partners)
    for _ in range(_MAX_ATTEMPTS):
        edges = _try_regular(num_peers, num_partners, rng)
        if edges is not None:
            return sorted(edges)
    # The complement of a nearly complete graph is easy to draw. It has few edges.
    absent = set(random_regular(num_peers, num_partners=num_peers - 1 - num_partners, rng=rng))
    return [edge for edge in complete(num_peers) if edge not in absent]


def check_regular(num_peers: int, *, num_partners: int) -> None:
    """Check that a graph exists in which every peer has this number of partners.

    Raises:
        ValueError: If there are too few peers, or ``num_peers * num_partners``, the number of ends of edges, is odd.
    """
    if not 0 <= num_partners < num_peers:
        raise ValueError(f"num_partners must be at most {num_peers - 1} for {num_peers} peers, got {num_partners}.")
    if num_peers * num_partners % 2:
        raise ValueError(
            f"num_partners must be even for an odd number of peers, because each edge has two ends, got {num_partners} "
            f"for {num_peers} peers."
        )


def small_world(
    num_peers: int, *, num_partners: int, rewired_fraction: float, rng: "np.random.Generator"
) -> list[Edge]:
    """Return a ring lattice in which some edges lead to random peers (Watts and Strogatz 1998, Nature 393).

    Every peer first gets edges to the next ``num_partners / 2`` peers of the ring. With the probability
    ``rewired_fraction``, each edge is then replaced by an edge from the same peer to a random peer that is not its
    partner yet.

    Raises:
        ValueError: If ``num_partners`` is odd, or there are too few peers.
    """
    check_small_world(num_peers, num_partners=num_partners)
    edges = {_edge(peer, (peer + step) % num_peers) for step in _steps(num_partners) for peer in range(num_peers)}
    for step in _steps(num_partners):
        for peer in range(num_peers):
            if rng.random() >= rewired_fraction:
                continue
            free = [other for other in range(num_peers) if other != peer and _edge(peer, other) not in edges]
            if free:
                edges.discard(_edge(peer, (peer + step) % num_peers))
                edges.add(_edge(peer, int(rng.choice(free))))
    return sorted(edges)


def check_small_world(num_peers: int, *, num_partners: int) -> None:
    """Check that a ring lattice exists in which every peer has this number of partners.

    Raises:
        ValueError: If ``num_partners`` is odd or below 2, or there are too few peers.
    """
    if num_partners % 2 or not 2 <= num_partners < num_peers:
        raise ValueError(
            f"num_partners must be even and from 2 to {num_peers - 1} for {num_peers} peers, got {num_partners}."
        )


def check_edges(edges: Iterable[Sequence[int]], *, num_peers: int) -> None:
    """Check that a list of edges is a graph of all peers.

    Raises:
        ValueError: If an edge names an unknown peer, joins a peer to itself or is repeated, or a peer has no edge.
    """
    seen: set[Edge] = set()
    for one, other in edges:
        unknown = [peer for peer in (one, other) if not 0 <= peer < num_peers]
        if unknown:
            raise ValueError(f"edges must join peers from 0 to {num_peers - 1}, got {unknown[0]} in [{one}, {other}].")
        if one == other:
            raise ValueError(f"edges must join two different peers, got [{one}, {other}].")
        if _edge(one, other) in seen:
            raise ValueError(f"edges must not repeat a pair, whatever its order, got [{one}, {other}] twice.")
        seen.add(_edge(one, other))
    lonely = sorted(set(range(num_peers)) - {peer for edge in seen for peer in edge})
    if lonely:
        raise ValueError(f"edges must give every peer a partner, got none for peer {lonely[0]}.")


def partners(edges: Iterable[Sequence[int]], peers: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Return the partners of each peer in ``peers``, ascending. Edges to peers not in ``peers`` are ignored."""
    present = sorted(set(peers))
    found: Mapping[int, set[int]] = {peer: set() for peer in present}
    for one, other in edges:
        if one in found and other in found:
            found[one].add(other)
            found[other].add(one)
    return {peer: tuple(sorted(others)) for peer, others in found.items()}


def random_pairs(partners_of: Mapping[int, Sequence[int]], rng: "np.random.Generator") -> list[Edge]:
    """Return random pairs (sender, receiver) of partners.

    No peer is in two pairs. Pairs are drawn until no two of the peers without a pair are partners.
    """
    edges = [(peer, other) for peer, others in partners_of.items() for other in others]
    taken: set[int] = set()
    pairs: list[Edge] = []
    # Each edge is there in both directions, so that its first one in the random order is the direction of the pair.
    for index in rng.permutation(len(edges)):
        sender, receiver = edges[index]
        if sender not in taken and receiver not in taken:
            taken |= {sender, receiver}
            pairs.append((sender, receiver))
    return sorted(pairs)


def random_groups(partners_of: Mapping[int, Sequence[int]], rng: "np.random.Generator") -> dict[int, tuple[int, ...]]:
    """Return random groups of peers: for each aggregator, its partners in the group, ascending.

    In random order, each peer that is in no group yet becomes an aggregator, if some of its partners are in no group
    either. These partners are then in its group. If all peers are partners, all are in one group.
    """
    groups: dict[int, tuple[int, ...]] = {}
    taken: set[int] = set()
    for peer in rng.permutation(sorted(partners_of)).tolist():
        free = tuple(other for other in partners_of[peer] if other not in taken)
        if peer not in taken and free:
            groups[peer] = free
            taken |= {peer, *free}
    return dict(sorted(groups.items()))


def random_teachers(partners_of: Mapping[int, Sequence[int]], rng: "np.random.Generator") -> dict[int, int]:
    """Return a random partner of each peer. A peer without partners has no entry."""
    return {peer: int(rng.choice(others)) for peer, others in partners_of.items() if others}


def _edge(one: int, other: int) -> Edge:
    return (one, other) if one < other else (other, one)


def _steps(num_partners: int) -> range:
    return range(1, num_partners // 2 + 1)


def _try_regular(num_peers: int, num_partners: int, rng: "np.random.Generator") -> set[Edge] | None:
    edges: set[Edge] = set()
    ends = [peer for peer in range(num_peers) for _ in range(num_partners)]
    while ends:
        mixed = rng.permutation(ends).tolist()
        left: list[int] = []
        for one, other in zip(mixed[::2], mixed[1::2], strict=True):
            if one == other or _edge(one, other) in edges:
                left += [one, other]
            else:
                edges.add(_edge(one, other))
        if len(left) == len(ends):
            return None
        ends = left
    return edges
