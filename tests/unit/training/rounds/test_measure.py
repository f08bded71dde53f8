import pytest

from peerkd.results.rounds import MAX_TEACHERS
from peerkd.rounds import ROUND_METHODS
from peerkd.training.rounds.measure import exchanged_bytes, is_accepted, measure, teacher_columns, weights_bytes
from peerkd.training.rounds.round import TrainingRound
from tests.unit.training.rounds.conftest import PEERS, Line

START = {"validation_own_accuracy": 0.8, "validation_global_accuracy": 0.5}


@pytest.mark.parametrize(
    ("own", "max_own_drop", "accepted"),
    [
        (0.1, None, True),
        (0.8, 0.0, True),
        (0.79, 0.0, False),
        (0.75, 0.05, True),
        (0.74, 0.05, False),
        (0.9, 0.0, True),
    ],
)
def test_a_proposal_is_accepted_within_the_limit(own: float, max_own_drop: float | None, accepted: bool) -> None:
    proposed = {"validation_own_accuracy": own, "validation_global_accuracy": 0.9}
    assert is_accepted(proposed, START, max_own_drop=max_own_drop) is accepted


@pytest.mark.parametrize("max_own_drop", [None, 1.0])
def test_a_proposal_that_is_not_finite_is_never_accepted(max_own_drop: float | None) -> None:
    assert not is_accepted(None, START, max_own_drop=max_own_drop)


def test_a_network_that_is_not_finite_has_no_accuracies(line: Line) -> None:
    broken = {**line.weights[1], "classifier.bias": line.weights[1]["classifier.bias"] * float("nan")}
    measured = measure(line.config, line.data, {0: line.weights[0], 1: broken})
    assert measured.keys() == {0}
    *accuracies, classes = measured[0].values()
    assert all(0 <= value <= 1 for value in [*accuracies, *classes])
    assert (len(accuracies), len(classes)) == (4, 10)


def test_the_peer_itself_is_listed_however_many_teachers_it_has() -> None:
    num_peers = MAX_TEACHERS + 20
    shares = {peer: (peer + 1) / 10_000 for peer in range(num_peers)}
    largest = [*range(num_peers - 1, 19, -1)]
    assert teacher_columns(num_peers - 1, shares)["teachers"] == largest
    # Peer 3 is not among those with the largest shares, and takes the last place.
    assert teacher_columns(3, shares) == {
        "teachers": [*largest[:-1], 3],
        "teacher_shares": [*(shares[peer] for peer in largest[:-1]), 4 / 10_000],
    }
    # A peer whose own share is not part of what it learns.
    others = {peer: share for peer, share in shares.items() if peer != 3}
    assert teacher_columns(3, others)["teachers"] == largest


@pytest.mark.parametrize("shares", [{}, {1: 1.0}, {0: float("nan"), 1: 0.5}])
def test_a_peer_that_learns_from_itself_alone_has_no_teachers(shares: dict[int, float]) -> None:
    assert teacher_columns(1, shares) == {"teachers": None, "teacher_shares": None}


def exchanged(line: Line, name: str) -> tuple[dict[int, dict[str, int]], TrainingRound]:
    round = TrainingRound(line.config, line.data, number=1, peers=PEERS)
    return exchanged_bytes(ROUND_METHODS[name], round, line.weights, line.data), round


def test_bytes_are_those_of_predictions_or_weights_and_count_once_for_the_sender(line: Line) -> None:
    # Peer 1 has two partners, the others one.
    predictions = 4 * line.data.num_public * 10
    weights = weights_bytes(line.weights[0])
    assert weights == 4 * sum(tensor.numel() for tensor in line.weights[0].values())
    for name, message in (("alone", 0), ("predictions", predictions), ("ds_fl", predictions), ("fedavg", weights)):
        found, _ = exchanged(line, name)
        assert [found[peer]["sent_bytes"] for peer in PEERS] == [message] * 3
        assert [found[peer]["received_bytes"] for peer in PEERS] == [message, 2 * message, message]


def test_a_teacher_sends_its_weights_to_its_students(line: Line) -> None:
    found, round = exchanged(line, "pairwise")
    weights = weights_bytes(line.weights[0])
    assert {peer for peer, each in found.items() if each["sent_bytes"]} == set(round.teachers.values())
    assert [each["received_bytes"] for each in found.values()] == [weights] * 3
    assert all(teacher in round.partners[peer] for peer, teacher in round.teachers.items())


def test_pooled_training_moves_all_raw_samples_once(line: Line) -> None:
    found, round = exchanged(line, "pooled")
    sizes = [64 * round.num_samples[peer] for peer in PEERS]
    assert [each["sent_bytes"] for each in found.values()] == sizes
    assert [each["received_bytes"] for each in found.values()] == [sum(sizes) - size for size in sizes]
    later = TrainingRound(line.config, line.data, number=2, peers=PEERS)
    moved = exchanged_bytes(ROUND_METHODS["pooled"], later, line.weights, line.data)
    assert not any(each["sent_bytes"] or each["received_bytes"] for each in moved.values())


def test_only_the_senders_of_pairs_send(line: Line) -> None:
    found, round = exchanged(line, "def_kt")
    ((sender, receiver),) = round.pairs
    weights = weights_bytes(line.weights[0])
    assert {peer: each["sent_bytes"] for peer, each in found.items() if each["sent_bytes"]} == {sender: weights}
    assert {peer: each["received_bytes"] for peer, each in found.items() if each["received_bytes"]} == {
        receiver: weights
    }


def test_each_network_of_a_group_goes_to_the_aggregator_and_back(line: Line) -> None:
    found, round = exchanged(line, "dfml")
    ((aggregator, senders),) = round.groups.items()
    weights = weights_bytes(line.weights[0])
    expected = dict.fromkeys(PEERS, 0) | dict.fromkeys(senders, weights) | {aggregator: len(senders) * weights}
    assert {peer: each["sent_bytes"] for peer, each in found.items()} == expected
    assert {peer: each["received_bytes"] for peer, each in found.items()} == expected
