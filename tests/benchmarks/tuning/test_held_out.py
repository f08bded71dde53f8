from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.tuning import held_out
from benchmarks.tuning.contest import compete
from benchmarks.tuning.held_out import compete_held_out, folds, together
from benchmarks.tuning.replay import Replay, play
from benchmarks.tuning.tuners import build


@pytest.mark.parametrize("num_folds", [2, 5, 12])
def test_every_pair_is_held_out_once(replay: Replay, num_folds: int) -> None:
    divided = folds(replay.space, "pairs", num_folds=num_folds)
    assert sorted(np.concatenate(divided).tolist()) == list(range(12))
    assert {len(fold) for fold in divided} <= {12 // num_folds, 12 // num_folds + 1}
    again = folds(replay.space, "pairs", num_folds=num_folds)
    assert [fold.tolist() for fold in divided] == [fold.tolist() for fold in again]


def test_nothing_is_known_about_held_out_peers(replay: Replay) -> None:
    divided = folds(replay.space, "peers", num_folds=4)
    held = []
    for fold in divided:
        earlier, part = replay.held_out(fold)
        known = {*earlier.space.students_Q.tolist(), *earlier.space.teachers_Q.tolist()}
        assert len(known) == 3
        (peer,) = {0, 1, 2, 3} - known
        assert ((part.space.students_Q == peer) | (part.space.teachers_Q == peer)).all()
        held.append(peer)
    assert sorted(held) == [0, 1, 2, 3]
    # Every pair of either peer is held out.
    assert np.bincount(np.concatenate(divided)).tolist() == [2] * 12


def test_a_tuner_observes_only_the_other_pairs(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def listening(name: str, part: Replay, budgets: object, **options: object) -> object:
        given.append((part, options["earlier"]))
        return compete(name, part, budgets, **options)

    monkeypatch.setattr(held_out, "compete", listening)
    divided = folds(replay.space, "pairs", num_folds=3)
    compete_held_out("portfolio", replay, [0.1], seeds=[0], held_out=divided)
    for fold, (part, (earlier,)) in zip(divided, given, strict=True):
        others = np.setdiff1d(np.arange(12), fold)
        np.testing.assert_array_equal(earlier.gains_QS, replay.gains_QSE[others, :, -1])
        np.testing.assert_array_equal(part.gains_QSE, replay.gains_QSE[fold])


def test_folds_are_combined_pair_by_pair(replay: Replay) -> None:
    divided = [np.arange(3), np.arange(3, 12)]
    parts = [replay.restricted(fold) for fold in divided]
    scores = [play(build("random", part.space, seed=0, earlier=()), part, [0.4])[0] for part in parts]
    whole = together(scores, parts)
    assert whole.gain == pytest.approx((3 * scores[0].gain + 9 * scores[1].gain) / 12)
    assert whole.reference.full == pytest.approx(replay.reference.full)
    assert whole.spent == scores[0].spent + scores[1].spent
    assert whole.spent_share == pytest.approx(whole.spent / sum(part.account().full for part in parts))
    assert whole.num_trials == scores[0].num_trials + scores[1].num_trials
    assert whole.budget == 0.4


def test_held_out_pairs_benefit_from_the_other_pairs(planted: Callable[..., tuple]) -> None:
    replay, _ = planted(one_for_all=True)
    for part in ("pairs", "peers"):
        divided = folds(replay.space, part, num_folds=2)
        ((score,),) = compete_held_out("portfolio", replay, [0.0], seeds=[0], held_out=divided)
        assert score.spent == 0
        assert score.gain == pytest.approx(0.2)
        ((cold,),) = compete("portfolio", replay, [0.0], seeds=[0])
        assert cold.gain == 0


def test_each_seed_has_its_score(replay: Replay) -> None:
    divided = folds(replay.space, "pairs", num_folds=2)
    runs = compete_held_out("random", replay, [0.1, 0.3], seeds=range(3), held_out=divided)
    assert [[score.budget for score in scores] for scores in runs] == [[0.1, 0.3]] * 3
    assert len({scores[0].gain for scores in runs}) > 1


@pytest.mark.parametrize(
    ("part", "num_folds", "message"),
    [
        ("seeds", 2, r"held-out must be one of pairs, peers, got seeds\."),
        ("pairs", 1, r"folds must be from 2 to the 12 pairs that there are, got 1\."),
        ("pairs", 13, r"folds must be from 2 to the 12 pairs that there are, got 13\."),
        ("peers", 5, r"folds must be from 2 to the 4 peers that there are, got 5\."),
    ],
)
def test_folds_that_cannot_be_made_are_refused(replay: Replay, part: str, num_folds: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        folds(replay.space, part, num_folds=num_folds)


def test_two_peers_must_be_left_to_learn_from(replay: Replay) -> None:
    three = replay.restricted(np.flatnonzero((replay.space.students_Q < 3) & (replay.space.teachers_Q < 3)))
    with pytest.raises(ValueError, match=r"^folds must leave two peers to learn from, got 2 for 3 peers\.$"):
        folds(three.space, "peers", num_folds=2)
    assert len(folds(three.space, "peers", num_folds=3)) == 3
