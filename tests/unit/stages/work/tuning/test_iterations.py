"""Iterations of a tuned study: their files, and their division into shards."""

import pytest

from peerkd.stages.work.tuning import iterations
from peerkd.stages.work.tuning.iterations import MAX_TRIALS, Iteration, StudyProgress, num_trials, shards_of
from peerkd.tuning.protocol import Suggestion


def test_an_iteration_is_read_back_from_its_file():
    planned = Iteration(number=3, phase="search", suggestions=(Suggestion(1, 2, 3),), seconds=1.5)
    assert Iteration.from_line(planned.to_line()) == planned
    assert planned.name == "scratch/iterations/0003.json"


def test_trials_with_the_same_set_and_epochs_share_a_task(space, monkeypatch):
    monkeypatch.setattr(iterations, "_NUM_TASKS", 1)
    before = StudyProgress()
    before.add([Suggestion(3, 0, 1)])
    suggestions = (
        Suggestion(3, 0, 4),
        Suggestion(3, 1, 4),
        Suggestion(0, 2, 4),
        Suggestion(3, 3, 4),
        Suggestion(3, 4, 4),
        Suggestion(7, 8, 4),
        Suggestion(3, 8, 4),
    )
    shards = shards_of(Iteration(number=2, phase="search", suggestions=suggestions, seconds=0.0), space, before)
    assert [shard.name for shard in shards] == [f"0002-{number:04d}" for number in range(len(shards))]
    assert [
        [(each.unit.owners, each.unit.teacher, each.first_epoch, len(each.unit.trials)) for each in task.ranges]
        for shard in shards
        for task in shard.tasks
    ] == [
        [((0, 4), 4, 0, 1)],
        [((0,), 4, 1, 1)],
        [((0,), 1, 0, 1), ((0,), 4, 0, 2)],
        [((), 4, 0, 2)],
    ]


@pytest.mark.parametrize(("num_asks", "sizes"), [(3, [1, 1, 1]), (8, [2, 2, 2, 2]), (9, [2, 2, 2, 2, 1])])
def test_a_small_iteration_is_split_into_tasks_for_several_processes(space, num_asks, sizes):
    suggestions = tuple(Suggestion(pair, 8, 1) for pair in range(num_asks))  # on the public set
    planned = Iteration(number=0, phase="search", suggestions=suggestions, seconds=0.0)
    tasks = [task for shard in shards_of(planned, space, StudyProgress()) for task in shard.tasks]
    assert [num_trials([task]) for task in tasks] == sizes


def test_many_trials_of_one_kind_are_several_tasks(space, monkeypatch):
    monkeypatch.setattr(iterations, "_NUM_TASKS", 1)
    suggestions = tuple(Suggestion(pair, 8 + setting, 1) for pair in range(space.num_pairs) for setting in range(2))
    planned = Iteration(number=0, phase="search", suggestions=suggestions, seconds=0.0)
    tasks = [task for shard in shards_of(planned, space, StudyProgress()) for task in shard.tasks]
    assert max(num_trials([task]) for task in tasks) == MAX_TRIALS
    assert num_trials(tasks) == len(suggestions)
