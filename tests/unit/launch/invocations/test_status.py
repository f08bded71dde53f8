import itertools
import json

import pytest

from peerkd.launch.invocations.status import FAILED, FINISHED, Gain, InvocationStatus, StageStatus
from peerkd.metrics.progress import Counts, gain_note, study_line

STAGES = ("partition_data", "pretrain_peers", "distill_pairs", "improve_peers", "build_report")


@pytest.fixture
def status() -> InvocationStatus:
    return InvocationStatus(
        pipeline="jointkd sweep",
        experiment="digits",
        started_at=0.0,
        stages=[StageStatus(name=name) for name in STAGES],
    )


def test_a_stage_ends_when_the_next_one_begins(status: InvocationStatus) -> None:
    assert status.present is None
    status.take("partition_data", "3 peers", now=1)
    status.take("pretrain_peers", "1 of 4 epochs (25%)", now=2)
    assert status.present is status.stages[1]
    assert [stage.ended_at for stage in status.stages] == [2, None, None, None, None]
    assert [stage.fraction for stage in status.stages] == [1, 0.25, 0, 0, 0]


def test_the_growth_of_the_largest_gain_is_kept(status: InvocationStatus) -> None:
    for num_done, gain in ((1, 0.011), (3, 0.011), (5, 0.024), (4, 0.03), (6, -0.01)):
        note = gain_note(gain, student=3, teacher="north")
        status.take("distill_pairs", f"{num_done} of 9 trials ({num_done / 9:.0%}), 1 a second; {note}", now=1)
    assert status.stages[2].gains == [Gain(1, 1.1), Gain(5, 2.4), Gain(5, 3.0)]
    assert InvocationStatus.from_json(json.loads(json.dumps(status.to_json()))) == status
    # A status of an earlier version has no gains.
    values = status.to_json()
    for stage in values["stages"]:
        del stage["gains"]
    assert InvocationStatus.from_json(values).stages[2].gains == []


def test_the_whole_run_advances_most_in_its_long_stage(status: InvocationStatus) -> None:
    fractions = []
    for stage in STAGES:
        status.take(stage, "0 of 4 units (0%)", now=1)
        fractions.append(status.fraction)
    gains = [after - before for before, after in itertools.pairwise(fractions)]
    assert gains.index(max(gains)) == STAGES.index("distill_pairs")
    assert fractions[0] == 0 < fractions[1] < fractions[-1] < 1
    status.end(FINISHED, now=2)
    assert status.fraction == 1
    assert all(stage.ended_at for stage in status.stages)


def test_the_worker_that_looked_last_knows_how_many_units_are_done(status: InvocationStatus) -> None:
    status.take("distill_pairs", "worker 0: 5 of 10 trials (50%), 2 a second, about 3 s left", now=1)
    counts = status.take("distill_pairs", "worker 1: 3 of 10 trials (30%)", now=2)
    assert counts == Counts(3, 10, "trials")
    assert status.stages[2].counts == Counts(5, 10, "trials")
    assert {index: worker.text for index, worker in status.workers.items()} == {
        0: "5 of 10 trials (50%), 2 a second, about 3 s left",
        1: "3 of 10 trials (30%)",
    }
    # The workers of the next stage are others.
    status.take("improve_peers", "1 of 3 students (33%)", now=3)
    assert list(status.workers) == [0]


def test_a_line_of_a_stage_that_the_route_does_not_list_is_taken(status: InvocationStatus) -> None:
    status.take("run", "the store does not answer", now=1)
    status.take("partition_data", "3 peers", now=2)
    assert [stage.name for stage in status.stages] == ["run", *STAGES]


def test_a_status_survives_json(status: InvocationStatus) -> None:
    status.take("distill_pairs", "worker 1: 3 of 10 trials (30%)", now=2)
    status.end(FAILED, now=3, message="no.")
    assert InvocationStatus.from_json(json.loads(json.dumps(status.to_json()))) == status


def test_a_stage_advances_over_the_studies_of_all_seeds(status: InvocationStatus) -> None:
    fractions = []
    for number, num_done in itertools.product((1, 2), (0, 10, 20)):
        text = f"{num_done} of 20 trials ({5 * num_done}%)" if num_done else study_line(number, 2)
        status.take("distill_pairs", text, now=10.0)
        fractions.append(next(stage.fraction for stage in status.stages if stage.name == "distill_pairs"))
    assert fractions == [0, 0.25, 0.5, 0.5, 0.75, 1]
    assert InvocationStatus.from_json(json.loads(json.dumps(status.to_json()))) == status
