"""Workers that are driven by hand: tasks are numbers, records say which number and who did it."""

import json
from contextlib import contextmanager

from peerkd.launch.worker import Worker
from peerkd.stages.shards import cut
from peerkd.stages.sharing import Work, share
from peerkd.training.seals import SEAL, UNSEALED, seal

TASKS = list(range(8))


class Counts:
    def __init__(self):
        self.found = self.followed = 0


@contextmanager
def worker(remote, index=0, num_workers=1, *, max_shards=4, counts=None, published=lambda: False, name=None, grow=None):
    counts = counts or Counts()

    def found(num):
        counts.found += num

    def followed(num):
        counts.followed += num

    work = Work(
        stage="count",
        shards=cut(TASKS, num_records=len, max_shards=max_shards),
        identity=lambda record: record["task"],
        left=lambda tasks, done: [task for task in tasks if task not in done],
        found=found,
        followed=followed,
        grow=grow,
    )
    me = Worker(index=index, num_workers=num_workers)
    workspace = remote.workspace(name or f"worker-{index}")
    with share(workspace, work, me, is_published=published) as sharing:
        yield sharing


def write_checkpoint(path, content):
    """Write what a training leaves: a header whose length comes first, and a body."""
    header = json.dumps({"__metadata__": {SEAL: UNSEALED}}, separators=(",", ":")).encode()
    path.with_suffix(".new").write_bytes(len(header).to_bytes(8, "little") + header + content)
    seal(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def do(sharing, num=99, by="me"):
    """Do up to ``num`` tasks; return which. Stops where there is none at the moment."""
    done = []
    tasks = sharing.tasks()
    while len(done) < num and (task := next(tasks, None)):
        held, number = task
        sharing.append(held, {"task": number, "by": by})
        done.append(number)
    return done
