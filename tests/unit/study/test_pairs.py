import numpy as np
import pytest

from peerkd.study.pairs import Pairs, pairs_of_peers


def listed(pairs):
    return [pairs.pair(number) for number in range(pairs.num_pairs)]


def check(pairs, num_peers):
    """Check that all views of the pairs are about the same pairs."""
    expected = listed(pairs)
    assert expected == sorted(set(expected))
    assert all((teacher, student) in expected for student, teacher in expected)
    assert [pairs.edge(number) for number in range(pairs.num_edges)] == [pair for pair in expected if pair[0] < pair[1]]
    assert list(zip(*(each.tolist() for each in pairs.as_arrays()), strict=True)) == expected
    assert np.argwhere(pairs.as_matrix(num_peers)).tolist() == [list(pair) for pair in expected]
    for peer in pairs.peers:
        assert list(pairs.partners(peer)) == [teacher for student, teacher in expected if student == peer]
    for num in range(len(pairs.teachers) + 1):
        of_teachers = [pair for pair in expected if pair[1] in pairs.teachers[:num]]
        assert pairs.num_pairs_of_teachers(num) == len(of_teachers)


def test_every_two_peers_are_a_pair_in_both_directions():
    pairs = Pairs((0, 2, 3))
    assert listed(pairs) == [(0, 2), (0, 3), (2, 0), (2, 3), (3, 0), (3, 2)]
    assert pairs.teachers == (2, 3, 0)
    check(pairs, 5)


@pytest.mark.parametrize(("num_peers", "num_partners"), [(8, 3), (9, 4), (7, 2), (6, 1)])
def test_each_peer_has_its_partners(num_peers, num_partners):
    pairs = pairs_of_peers(num_peers, num_partners=num_partners, seed=0)
    assert pairs.num_pairs == num_peers * num_partners
    assert {len(pairs.partners(peer)) for peer in range(num_peers)} == {num_partners}
    check(pairs, num_peers)


def test_partners_follow_from_the_seed():
    one, same, other = (pairs_of_peers(20, num_partners=4, seed=seed) for seed in (0, 0, 1))
    assert listed(one) == listed(same) != listed(other)


def test_all_others_as_partners_are_all_pairs():
    assert listed(pairs_of_peers(5, num_partners=4, seed=0)) == listed(Pairs(range(5)))


def test_a_peer_that_takes_no_part_is_nobodys_partner():
    whole = pairs_of_peers(8, num_partners=1, seed=0)
    lost = whole.partners(3)[0]
    pairs = pairs_of_peers(8, num_partners=1, seed=0, peers=[peer for peer in range(8) if peer != lost])
    assert listed(pairs) == [pair for pair in listed(whole) if lost not in pair]
    assert 3 in pairs.peers
    assert 3 not in pairs.teachers
    check(pairs, 8)


def test_a_graph_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="num_partners must be even for an odd number of peers"):
        pairs_of_peers(7, num_partners=3, seed=0)
