"""The ordered pairs of a study: all pairs of its peers, or the pairs of partners.

With many peers, most of the time would go to pairs that are much like others. A study can therefore give each peer a
fixed number of partners. The partners are a random regular graph, drawn by the seed of the experiment: every peer is
the student of all its partners and the teacher of all its partners, so every pair is there in both directions, and no
peer has more weight in a mean over pairs than another one.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from peerkd.seeds import generator
from peerkd.study import topology

if TYPE_CHECKING:
    from peerkd.arrays import BoolArray, IntArray


class Pairs:
    """The ordered pairs of the peers that take part, student first.

    If every two peers are a pair, pairs are computed when they are requested, so that a million of them take no memory.
    """

    def __init__(self, peers: Sequence[int], partners: Mapping[int, Sequence[int]] | None = None) -> None:
        """Join peers in pairs.

        Args:
            peers: The peers that take part, ascending.
            partners: The partners of each peer, ascending. If a peer is a partner of another peer, the reverse is true
                as well, and both take part. None: all other peers are the partners of a peer.
        """
        self.peers, self._partners = peers, partners
        self._pairs: Sequence[tuple[int, int]] = ()
        if partners is not None:
            self._pairs = [(student, teacher) for student in peers for teacher in partners[student]]
        self._edges = [pair for pair in self._pairs if pair[0] < pair[1]]
        with_students = [peer for peer in peers if partners is None or partners[peer]]
        # The first teacher is not the first student, so that units of different kinds begin with different peers.
        self.teachers = (*with_students[1:], *with_students[:1])
        """The peers that have students, in the order in which a sweep lets them teach."""

        self._num_before = [0] if partners is None else [0, *accumulate(len(partners[each]) for each in self.teachers)]

    @property
    def num_pairs(self) -> int:
        """The number of ordered pairs."""
        num_peers = len(self.peers)
        return num_peers * (num_peers - 1) if self._partners is None else len(self._pairs)

    @property
    def num_edges(self) -> int:
        """The number of pairs if their order does not count."""
        return self.num_pairs // 2

    def partners(self, peer: int) -> Sequence[int]:
        """Return the partners of a peer, ascending."""
        return [other for other in self.peers if other != peer] if self._partners is None else self._partners[peer]

    def pair(self, number: int) -> tuple[int, int]:
        """Return student and teacher of one pair. Pairs are sorted by student, and then by teacher."""
        if self._partners is not None:
            return self._pairs[number]
        student, place = divmod(number, len(self.peers) - 1)
        return self.peers[student], self.peers[place + (place >= student)]

    def edge(self, number: int) -> tuple[int, int]:
        """Return two peers that are a pair in both directions, the smaller number first. Edges are sorted."""
        if self._partners is not None:
            return self._edges[number]
        first = bisect_right(range(len(self.peers)), number, key=self._num_edges_before) - 1
        return self.peers[first], self.peers[number - self._num_edges_before(first) + first + 1]

    def num_pairs_of_teachers(self, num_teachers: int) -> int:
        """Return the number of pairs with one of the first ``num_teachers`` teachers."""
        if self._partners is None:
            return num_teachers * (len(self.peers) - 1)
        return self._num_before[num_teachers]

    def as_arrays(self) -> "tuple[IntArray, IntArray]":
        """Return the students and the teachers of all pairs, in order."""
        import numpy as np

        if self._partners is not None:
            pairs_Q2 = np.array(self._pairs, dtype=np.int64).reshape(-1, 2)
            return pairs_Q2[:, 0], pairs_Q2[:, 1]
        peers_P = np.array(self.peers, dtype=np.int64)
        students_Q, teachers_Q = np.nonzero(~np.eye(len(peers_P), dtype=np.bool_))
        return peers_P[students_Q], peers_P[teachers_Q]

    def as_matrix(self, num_peers: int) -> "BoolArray":
        """Return whether each student and teacher are a pair, as an array of shape (num_peers, num_peers).

        ``num_peers`` includes the peers that do not take part.
        """
        import numpy as np

        is_pair_PP = np.zeros((num_peers, num_peers), dtype=np.bool_)
        is_pair_PP[self.as_arrays()] = True
        return is_pair_PP

    def _num_edges_before(self, place: int) -> int:
        return place * (2 * len(self.peers) - place - 1) // 2


def pairs_of_peers(num_peers: int, *, num_partners: int | None, seed: int, peers: Sequence[int] | None = None) -> Pairs:
    """Return the pairs of an experiment.

    Args:
        num_peers: The number of peers, including those that do not take part.
        num_partners: The number of partners of each peer, or None if all other peers are its partners. A partner that
            does not take part is not replaced.
        seed: The seed of the experiment, by which partners are drawn.
        peers: The peers that take part, ascending. None: all peers.

    Raises:
        ValueError: If the peers cannot have so many partners.
    """
    taking_part = range(num_peers) if peers is None else peers
    if num_partners is None or num_partners == num_peers - 1:
        return Pairs(taking_part)
    edges = topology.random_regular(num_peers, num_partners=num_partners, rng=generator(seed, "partners"))
    return Pairs(taking_part, topology.partners(edges, taking_part))
