from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.study import topology


def degrees(edges: list[topology.Edge]) -> Counter[int]:
    return Counter(peer for edge in edges for peer in edge)


def test_small_graphs_by_hand() -> None:
    assert topology.complete(3) == [(0, 1), (0, 2), (1, 2)]
    assert topology.ring(4) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    assert topology.ring(2) == [(0, 1)]
    rng = np.random.default_rng(0)
    lattice = topology.small_world(5, num_partners=2, rewired_fraction=0.0, rng=rng)
    assert lattice == topology.ring(5)


@given(num_peers=st.integers(2, 24), num_partners=st.integers(1, 23), seed=st.integers(0, 9))
def test_every_peer_of_a_regular_graph_has_the_same_number_of_partners(
    num_peers: int, num_partners: int, seed: int
) -> None:
    if num_partners >= num_peers or num_peers * num_partners % 2:
        with pytest.raises(ValueError, match=r"^num_partners must be "):
            topology.random_regular(num_peers, num_partners=num_partners, rng=np.random.default_rng(seed))
        return
    edges = topology.random_regular(num_peers, num_partners=num_partners, rng=np.random.default_rng(seed))
    assert edges == topology.random_regular(num_peers, num_partners=num_partners, rng=np.random.default_rng(seed))
    topology.check_edges(edges, num_peers=num_peers)
    assert set(degrees(edges).values()) == {num_partners}


def test_regular_graphs_differ_between_seeds() -> None:
    graphs = {tuple(topology.random_regular(10, num_partners=3, rng=np.random.default_rng(seed))) for seed in range(20)}
    assert len(graphs) > 15


@given(num_peers=st.integers(5, 20), fraction=st.sampled_from([0.0, 0.2, 1.0]), seed=st.integers(0, 9))
def test_a_small_world_keeps_its_number_of_edges(num_peers: int, fraction: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = topology.small_world(num_peers, num_partners=4, rewired_fraction=fraction, rng=rng)
    assert len(edges) == len(set(edges)) == 2 * num_peers
    assert all(one < other for one, other in edges)
    # Each peer keeps its two edges to the next peers, wherever they lead.
    assert min(degrees(edges).values()) >= 2


@pytest.mark.parametrize("num_partners", [0, 3, 6])
def test_a_ring_lattice_that_cannot_exist_is_refused(num_partners: int) -> None:
    sentence = rf"^num_partners must be even and from 2 to 5 for 6 peers, got {num_partners}\.$"
    with pytest.raises(ValueError, match=sentence):
        topology.check_small_world(6, num_partners=num_partners)


@pytest.mark.parametrize(
    ("edges", "sentence"),
    [
        ([[0, 1], [1, 3]], r"^edges must join peers from 0 to 2, got 3 in \[1, 3\]\.$"),
        ([[0, -1]], r"^edges must join peers from 0 to 2, got -1 in \[0, -1\]\.$"),
        ([[0, 1], [2, 2]], r"^edges must join two different peers, got \[2, 2\]\.$"),
        ([[0, 1], [1, 2], [1, 0]], r"^edges must not repeat a pair, whatever its order, got \[1, 0\] twice\.$"),
        ([[0, 1]], r"^edges must give every peer a partner, got none for peer 2\.$"),
    ],
)
def test_a_list_of_edges_that_is_no_graph_of_all_peers_is_refused(edges: list[list[int]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        topology.check_edges(edges, num_peers=3)


def test_partners_are_mutual_and_present() -> None:
    assert topology.partners([(0, 1), (1, 2), (2, 3)], [0, 1, 3]) == {0: (1,), 1: (0,), 3: ()}


@given(num_peers=st.integers(2, 15), seed=st.integers(0, 9))
def test_no_peer_is_in_two_pairs_and_no_two_partners_are_left(num_peers: int, seed: int) -> None:
    partners_of = topology.partners(topology.ring(num_peers), range(num_peers))
    pairs = topology.random_pairs(partners_of, np.random.default_rng(seed))
    paired = [peer for pair in pairs for peer in pair]
    assert len(paired) == len(set(paired))
    assert all(receiver in partners_of[sender] for sender, receiver in pairs)
    left = set(range(num_peers)) - set(paired)
    assert not any(left & set(partners_of[peer]) for peer in left)


def test_either_peer_of_a_pair_may_send() -> None:
    directions = {topology.random_pairs({0: (1,), 1: (0,)}, np.random.default_rng(seed))[0] for seed in range(20)}
    assert directions == {(0, 1), (1, 0)}


@given(num_peers=st.integers(2, 12), seed=st.integers(0, 99))
def test_no_peer_is_in_two_groups_and_no_two_partners_are_left(num_peers: int, seed: int) -> None:
    partners_of = topology.partners(topology.ring(num_peers), range(num_peers))
    groups = topology.random_groups(partners_of, np.random.default_rng(seed))
    members = [peer for aggregator, senders in groups.items() for peer in (aggregator, *senders)]
    assert len(members) == len(set(members))
    assert all(senders and set(senders) <= set(partners_of[aggregator]) for aggregator, senders in groups.items())
    left = set(range(num_peers)) - set(members)
    assert not any(left & set(partners_of[peer]) for peer in left)


def test_partners_of_all_peers_are_one_group_with_a_random_aggregator() -> None:
    partners_of = topology.partners(topology.complete(4), range(4))
    found = [topology.random_groups(partners_of, np.random.default_rng(seed)) for seed in range(30)]
    assert all(len(groups) == 1 for groups in found)
    assert {aggregator for groups in found for aggregator in groups} == {0, 1, 2, 3}
