"""Workers under the control of a test: tasks are numbers, and records contain the number and the worker."""

import json
from contextlib import contextmanager

from peerkd.launch.worker import Worker
from peerkd.stages.shard_queue import StageWork, open_shard_queue
from peerkd.stages.shards import split_into_shards
from peerkd.training.seals import SEAL, UNSEALED, seal

TASKS = list(range(8))


class Counts:
    def __init__(self):
        self.recovered = self.done_elsewhere = 0


@contextmanager
def worker(
    remote, index=0, num_workers=1, *, max_shards=4, counts=None, published=lambda: False, name=None, add_shards=None
):
    counts = counts or Counts()

    def recovered(num):
        counts.recovered += num

    def done_elsewhere(num):
        counts.done_elsewhere += num

    work = StageWork(
        stage="count",
        shards=split_into_shards(TASKS, num_records=len, max_shards=max_shards),
        identity=lambda record: record["task"],
        on_recovered=recovered,
        on_done_elsewhere=done_elsewhere,
        add_shards=add_shards,
    )
    me = Worker(index=index, num_workers=num_workers)
    workspace = remote.workspace(name or f"worker-{index}")
    with open_shard_queue(workspace, work, me, is_published=published) as queue:
        yield queue


def write_checkpoint(path, content):
    """Write a file like a checkpoint: the length of a header, the header, and a body."""
    header = json.dumps({"__metadata__": {SEAL: UNSEALED}}, separators=(",", ":")).encode()
    path.with_suffix(".new").write_bytes(len(header).to_bytes(8, "little") + header + content)
    seal(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def do(queue, num=99, by="me"):
    """Do up to ``num`` tasks and return them. Stop if no task is available at the moment."""
    done = []
    tasks = queue.tasks()
    while len(done) < num and (task := next(tasks, None)):
        claimed, number = task
        queue.add_record(claimed, {"task": number, "by": by})
        done.append(number)
    return done
