"""The shard queue of a worker: tasks are numbers, and records contain the number and the worker."""

import threading

import pytest

from peerkd.errors import StoreUnavailableError
from peerkd.stages import checkpoints
from peerkd.stages import shard_queue as queue_module
from peerkd.stages.shards import split_into_shards
from tests.unit.stages.counting import TASKS, Counts, do, worker, write_checkpoint


def test_one_worker_does_all_tasks_and_reads_all_records(remote):
    with worker(remote) as queue:
        assert do(queue) == TASKS
        assert [record["task"] for record in queue.records()] == TASKS


def test_two_workers_do_every_task_once_and_the_first_joins_the_records(remote):
    counts = Counts()
    with worker(remote, 0, 2, counts=counts) as first:
        with worker(remote, 1, 2) as second:
            assert do(second, 4, by="second") == [2, 3, 6, 7]
        assert do(first) == [0, 1, 4, 5]
        assert {record["task"]: record["by"] for record in first.records()} == {
            task: "second" if task in (2, 3, 6, 7) else "me" for task in TASKS
        }
    assert (counts.recovered, counts.done_elsewhere) == (0, 4)


def test_an_attempt_interrupted_within_a_shard_continues_after_its_last_record(remote):
    with worker(remote) as queue:
        assert do(queue, 3, by="early") == [0, 1, 2]
    counts = Counts()
    with worker(remote, counts=counts) as queue:
        assert do(queue, by="late") == [3, 4, 5, 6, 7]
        by = {record["task"]: record["by"] for record in queue.records()}
    assert by == {task: "early" if task < 3 else "late" for task in TASKS}
    assert counts.recovered == 3


def test_a_record_that_a_kill_truncated_is_computed_again(remote):
    with worker(remote) as queue:
        do(queue, 3)
    (journal,) = [name for name in remote.files if name.startswith("scratch/journals/0001/")]
    remote.files[journal] += b'{"task": 3, "b'
    with worker(remote) as queue:
        assert do(queue) == [3, 4, 5, 6, 7]


def test_a_shard_with_all_records_is_done_even_if_it_was_not_marked(remote):
    with worker(remote) as queue:
        do(queue, 4)
    del remote.files["scratch/done/0001"]
    with worker(remote) as queue:
        assert do(queue) == [4, 5, 6, 7]
        assert len(list(queue.records())) == 8
    assert "scratch/done/0001" in remote.files


def test_a_record_from_two_workers_counts_once(remote):
    with worker(remote) as queue:
        do(queue, by="first")
    (journal,) = [name for name in remote.files if name.startswith("scratch/journals/0002/")]
    remote.files["scratch/journals/0002/another.jsonl"] = remote.files[journal].replace(b"first", b"other")
    with worker(remote) as queue:
        assert [record["task"] for record in queue.records()] == TASKS


def test_one_workers_own_journals_are_not_loaded_again(remote, monkeypatch):
    with worker(remote) as queue:
        do(queue)
        monkeypatch.setattr(type(queue._workspace), "load", lambda *_: pytest.fail("loaded"))
        assert [record["task"] for record in queue.records()] == TASKS


def test_the_first_worker_waits_for_the_others_without_blocking_and_others_do_not(remote):
    with worker(remote, 0, 2) as first, worker(remote, 1, 2) as second:
        theirs = second.tasks()
        claimed = [next(theirs) for _ in range(3)]
        assert do(first) == [0, 1, 4, 5]
        waiting = first.tasks()
        assert [next(waiting), next(waiting)] == [None, None]
        for shard, task in [*claimed, next(theirs)]:
            second.add_record(shard, {"task": task, "by": "second"})
        second.save()
        assert list(waiting) == []
        assert list(theirs) == []
        assert len(list(first.records())) == 8


def test_another_worker_ends_when_live_workers_have_claimed_the_rest(remote, monkeypatch):
    monkeypatch.setattr(queue_module, "HEARTBEAT_SECONDS", 0.05)
    with worker(remote, 0, 2) as first, worker(remote, 1, 2) as second:
        ours = first.tasks()
        for _ in range(3):
            next(ours)
        assert do(second) == [2, 3, 6, 7]
        for task in second.tasks():
            assert task is None
            threading.Event().wait(0.05)


def test_no_tasks_are_left_after_the_artifact_is_published(remote):
    with worker(remote, 1, 2, published=lambda: True) as queue:
        assert list(queue.tasks()) == []


def test_the_shard_of_a_lost_worker_continues_from_its_records_and_its_checkpoint(remote):
    with worker(remote, 1, 2) as lost:
        claimed, task = next(lost.tasks())
        lost.add_record(claimed, {"task": task, "by": "lost"})
        write_checkpoint(lost.checkpoint(claimed.shard.name), b"half")
    with worker(remote, 0, 2) as first:
        first._claims._stale_seconds = -1.0
        tasks = first.tasks()
        order = [next(tasks) for _ in range(5)]
        assert [number for _, number in order] == [0, 1, 4, 5, 3]
        assert first.checkpoint("0001").read_bytes().endswith(b"half")
        assert not first.checkpoint("0000").exists()


def test_a_journal_is_saved_every_second_or_two_and_a_checkpoint_when_it_is_new(remote, monkeypatch):
    monkeypatch.setattr(checkpoints, "_SAVE_SECONDS", 0.0)
    with worker(remote) as queue:
        tasks = queue.tasks()
        claimed, task = next(tasks)
        queue.checkpoint("0000").write_bytes(b"one")
        queue.add_record(claimed, {"task": task})
        for _ in range(3):
            queue.save()
        (journal,) = [name for name in remote.files if name.startswith("scratch/journals/")]
        assert remote.num_saves[journal] == 1
        assert remote.num_saves["scratch/checkpoints/0000.safetensors"] == 1
        queue.checkpoint("0000").write_bytes(b"another")
        queue.save()
        assert remote.files["scratch/checkpoints/0000.safetensors"] == b"another"
        claimed, task = next(tasks)
        queue.add_record(claimed, {"task": task})
        queue.save()
        assert not queue.checkpoint("0000").exists()


def test_files_are_saved_before_the_record_that_lists_them(remote):
    saved = []
    remote.before_save = saved.append
    with worker(remote, max_shards=8) as queue:
        (queue.checkpoint("x").parents[1] / "weights").write_bytes(b"1")
        claimed, task = next(queue.tasks())
        queue.add_record(claimed, {"task": task}, "weights")
        queue.save()
    assert saved[0] == "weights"
    assert saved[1].startswith("scratch/journals/0000/")
    assert saved[2] == "scratch/done/0000"


def test_a_worker_saves_its_work_before_it_ends_with_an_error(remote):
    def leave():
        with worker(remote) as queue:
            do(queue, 1)
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        leave()
    with worker(remote) as queue:
        assert do(queue, 1) == [1]


def test_a_failed_store_ends_the_worker_at_its_next_call(remote, monkeypatch):
    monkeypatch.setattr(queue_module, "SAVE_SECONDS", 0.01)

    def fail(name):
        raise StoreUnavailableError("The store does not answer.")

    with worker(remote) as queue:
        claimed, task = next(queue.tasks())
        remote.before_save = fail
        queue.add_record(claimed, {"task": task})
        while not queue._failure:
            threading.Event().wait(0.01)
        with pytest.raises(StoreUnavailableError):
            next(queue.tasks())
        with pytest.raises(StoreUnavailableError):
            queue.add_record(claimed, {"task": task})


def growing(num_batches):
    """Return a function that adds two more shards with one task each as soon as all earlier ones are done."""
    added = [split_into_shards(TASKS, num_records=len, max_shards=4)]

    def grow(queue):
        while len(added) <= num_batches and queue.is_done(added[-1]):
            number = 100 * len(added)
            added.append(split_into_shards([number, number + 1], num_records=len, max_shards=2, prefix=f"{number}-"))
            queue.add(added[-1])
        return len(added) <= num_batches

    return grow


def test_shards_can_be_added_while_others_are_being_done(remote):
    with worker(remote, add_shards=growing(2)) as queue:
        tasks = queue.tasks()
        for claimed, number in [next(tasks) for _ in range(8)]:
            # The next shards depend on these records, and no worker waits.
            if number == 7:
                assert next(tasks) is None
            queue.add_record(claimed, {"task": number})
        later = []
        for claimed, number in tasks:
            queue.add_record(claimed, {"task": number})
            later.append(number)
        assert later == [100, 101, 200, 201]
        assert [record["task"] for record in queue.records()] == [*TASKS, *later]


def test_the_records_of_some_shards_can_be_read(remote):
    with worker(remote) as queue:
        do(queue)
        shards = split_into_shards(TASKS, num_records=len, max_shards=4)[1:3]
        assert queue.is_done(shards)
        assert [record["task"] for record in queue.records(shards)] == [2, 3, 4, 5]


def test_shards_that_were_done_before_they_were_added_count_as_recovered(remote):
    with worker(remote, add_shards=growing(1)) as queue:
        for claimed, number in queue.tasks():
            queue.add_record(claimed, {"task": number})
    counts = Counts()
    with worker(remote, counts=counts, add_shards=growing(1)) as queue:
        assert list(queue.tasks()) == []
    assert (counts.recovered, counts.done_elsewhere) == (10, 0)


def test_a_worker_other_than_the_first_waits_while_more_shards_may_follow(remote):
    with worker(remote, 1, 2, add_shards=lambda _: True) as queue:
        assert do(queue) == [2, 3, 6, 7, 0, 1, 4, 5]
        waiting = queue.tasks()
        assert [next(waiting), next(waiting)] == [None, None]


def test_work_on_shards_that_this_worker_does_not_know_yet_is_ignored(remote):
    with worker(remote, 1, 2, add_shards=growing(1)) as second, worker(remote, 0, 2) as first:
        assert len(do(second)) == 10
        assert list(first.tasks()) == []
