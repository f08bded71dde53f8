"""Rounds that workers share, without trainings: who does which part, and what happens to the files."""

import re

import pytest

from peerkd.errors import ArtifactCorruptError
from peerkd.metrics import recorder
from peerkd.stages.work.collaborating.histories import check_complete
from peerkd.training.round_parts import InputsMissing
from tests.unit.stages.work.collaborating.sharing import PEERS, sharing


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4)])
@pytest.mark.parametrize("num_done", [1, 6])
def test_an_interrupted_run_with_another_number_of_parts_begins_anew(remote, before, after, num_done):
    with sharing(remote.workspace("before"), num_parts=before, num_rounds=2) as early:
        assert len(early.do(min(num_done, 2 * before - 1))) == min(num_done, 2 * before - 1)
    with sharing(remote.workspace("after"), num_parts=after, num_rounds=2) as late:
        assert len(late.do()) == 2 * after
        assert late.rows() == [(number, peer) for number in range(3) for peer in PEERS]


def test_records_without_some_peers_are_refused():
    rows = [{"round": number, "peer": peer} for number in range(3) for peer in PEERS]
    check_complete(rows, method="fedavg", peers=PEERS, num_rounds=2)
    with pytest.raises(ArtifactCorruptError, match="fedavg must have one row for each of 4 peers"):
        check_complete(rows[:-1], method="fedavg", peers=PEERS, num_rounds=2)


def rounds_in(remote) -> set[int]:
    """Return the numbers of the rounds of the first method to which any saved file belongs."""
    return {int(found[1]) for name in remote.files if (found := re.search(r"/predictions-(\d{5})-", name))}


def test_a_worker_that_was_away_for_four_rounds_continues_after_them(remote, capsys):
    methods = ("predictions", "alone")
    with (
        sharing(remote.workspace("a"), 0, 2, methods=methods) as first,
        sharing(remote.workspace("b"), 1, 2, methods=methods) as second,
    ):
        assert second.do(1) == ["predictions-00001-0-001of002"]
        assert first.do(19)[-1].startswith(("predictions-00005", "alone-00005"))
        (name,) = second.do(1)
        assert name.split("-")[1] >= "00005"
        assert len({*first.do(), *second.do()}) == 11, "21 of 32 tasks were done before"
        assert first.rows() == [(number, peer) for number in range(9) for peer in PEERS]
    lines = capsys.readouterr().out
    assert "damaged" not in lines
    assert "lacks" not in lines


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_file_lost_before_the_next_round_is_computed_again(remote, num_workers):
    workspace = remote.workspace("a")
    with sharing(workspace, 0, num_workers) as first:
        lost = first.do(2)[0]
        workspace.discard(f"scratch/rounds/{lost.replace('-0-', '-')}.safetensors")
        assert first.do(2) == [lost, "predictions-00002-0-000of002"]


def test_all_files_of_early_rounds_are_deleted(remote):
    with sharing(remote.workspace("b"), 1, 2) as second:
        second.do(10)
    assert 1 in rounds_in(remote)
    with sharing(remote.workspace("a"), 0, 2) as first:
        # The files are those of another worker, and this one has never seen their rounds.
        first.do(1)
        assert min(rounds_in(remote)) == 4
        num_files = len(remote.files)
        first.do(3)
        assert min(rounds_in(remote)) == 5
        assert len(remote.files) <= num_files + 12


def test_the_files_of_a_run_with_another_number_of_parts_stay(remote):
    with sharing(remote.workspace("before"), num_parts=4) as early:
        early.do(4)
    kept = {name for name in remote.files if "of004" in name}
    assert kept
    with sharing(remote.workspace("after"), num_parts=2) as late:
        late.do(12)
    assert kept <= set(remote.files)


def test_a_task_without_its_files_ends_if_later_rounds_are_finished(remote):
    with sharing(remote.workspace("a"), 0, 2) as first, sharing(remote.workspace("b"), 1, 2) as second:
        claimed, task = second.claim()
        # The second worker seems to be lost.
        first.queue._claims._stale_seconds = -1.0
        assert len(first.do(8)) == 8
        second.rounds.record(second.queue, claimed, InputsMissing(task))
        assert second.do(1) == ["predictions-00005-0-001of002"]


def test_a_task_without_its_files_in_an_unfinished_round_is_an_error(remote):
    with sharing(remote.workspace("a")) as first:
        claimed, task = first.claim()
        with pytest.raises(ArtifactCorruptError, match="Round 1 of predictions needs files"):
            first.rounds.record(first.queue, claimed, InputsMissing(task))


def test_the_accuracy_of_a_round_is_reported_once_as_the_mean_of_all_peers(remote, monkeypatch):
    reported = []
    monkeypatch.setattr(recorder, "accuracy", lambda split, share, *, method: reported.append((split, share, method)))
    with sharing(remote.workspace("a"), num_parts=3, num_rounds=2) as first:
        first.do()
    # The peers 0 to 3 have a quarter of their numbers as accuracies, and two of them are in one part.
    assert reported == [("validation", 0.375, "predictions")] * 2
