"""Messages and refusals of stages when trainings diverged."""

import pytest

from peerkd.stages import distill_pairs, pretrain_peers, train_pcl, tune_pairs


def peers(*ended_finite: bool) -> dict[str, list[dict[str, object]]]:
    """Return the metadata of peers."""
    return {
        "peers": [
            {"peer": peer, "test_global_accuracy": 0.5 + peer / 10 if is_finite else None, "is_finite": is_finite}
            for peer, is_finite in enumerate(ended_finite)
        ]
    }


def test_only_finite_peers_take_part() -> None:
    assert pretrain_peers.finite_peers(peers(True, False, True, True)["peers"]) == (0, 2, 3)
    said = pretrain_peers.summary(peers(True, False, True))
    assert said == "3 peers, global test accuracy 50.0% to 70.0%; 1 diverged and takes no part"
    assert pretrain_peers.summary(peers(True, True)) == "2 peers, global test accuracy 50.0% to 60.0%"


def test_the_accuracies_of_each_finite_peer_are_told_with_its_name() -> None:
    records = [
        {"peer": peer, "test_own_accuracy": own, "test_global_accuracy": 0.5, "is_finite": peer != 1}
        for peer, own in enumerate([0.625, None, None, *[0.75] * 20])
    ]
    lines = pretrain_peers.accuracy_lines(records, ["north", "south", "east", *map(str, range(3, 23))])
    assert lines[:3] == [
        "north: own test accuracy 62.5%, global 50.0%",
        "east: own test accuracy unknown, global 50.0%",
        "peer 3: own test accuracy 75.0%, global 50.0%",
    ]
    assert len(lines) == 10


@pytest.mark.parametrize(
    ("ended_finite", "said"),
    [((False, False, False), "All 3 peers"), ((False, True, False), "All but 1 of the 3 peers")],
)
def test_fewer_than_two_finite_peers_are_refused(ended_finite: tuple[bool, ...], said: str) -> None:
    pretrain_peers.check_enough_finite(peers(True, True, False)["peers"], learning_rate=0.05)
    with pytest.raises(ValueError, match=rf"^{said} diverged .*: lower pretrain\.learning_rate, which is 1e\+12\.$"):
        pretrain_peers.check_enough_finite(peers(*ended_finite)["peers"], learning_rate=1e12)


def test_a_study_whose_runs_all_diverged_is_refused() -> None:
    train_pcl.check_any_finite([{"is_finite": False}, {"is_finite": True}], learning_rate=0.1)
    with pytest.raises(ValueError, match=r"^All 2 runs diverged, .*: lower training\.learning_rate, which is 100\.$"):
        train_pcl.check_any_finite([{"is_finite": False}] * 2, learning_rate=100.0)


def test_summaries_count_diverged_trainings_if_there_are_any() -> None:
    trials = {"num_trials": 1200, "num_diverged": 0, "fingerprint": "ab" * 32}
    assert distill_pairs.summary(trials) == "1,200 trials, fingerprint abababababababab"
    assert "1,200 trials, 7 of them diverged," in distill_pairs.summary({**trials, "num_diverged": 7})
    assert "1,200 trials (7 diverged) for" in tune_pairs.summary({**trials, "num_diverged": 7, "spent_share": 0.05})
    runs = {"runs": [{"is_finite": False}, {"is_finite": True}], "fingerprint": "ab" * 32}
    assert "2 runs, 1 of them diverged," in train_pcl.summary(runs)
