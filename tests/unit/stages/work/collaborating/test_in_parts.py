"""Rounds that workers share, without trainings: who does which part, and what happens to the files."""

import pytest

from peerkd.errors import ArtifactCorruptError
from peerkd.stages.work.collaborating.histories import check_complete
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
