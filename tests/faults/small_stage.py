"""Two stages without training, on the real store, journals and shards: a subject that ends within milliseconds.

The first stage computes 24 records in shards, with a checkpoint for each shard, and merges them in a table. The second
stage computes a file from the table. A ledger outside the store lists what was computed and recorded, which reveals
repeated work.

As a program it is a server: it imports everything once and forks a child for each order on its standard input, so that
an attempt costs milliseconds. An order is a JSON object with ``store`` and ``ledger``; the answer is the exit code.
"""

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import save

from peerkd.artifacts import keys, references
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.errors import PeerKDError
from peerkd.launch.worker import Worker
from peerkd.stages.shard_queue import ShardQueue, StageWork, open_shard_queue
from peerkd.stages.shards import split_into_shards

TASKS: Final = list(range(24))
_NUM_SHARDS: Final = 4
_LEADER_SECONDS: Final = 60

FIRST_KEY: Final = keys.key("count", {"tasks": len(TASKS)})
TABLE_NAME: Final = "table.json"
SUM_NAME: Final = "sum.txt"


def run(store: ArtifactStore, *, notify: Callable[[str], None], worker: Worker | None = None) -> str:
    """Run the unfinished parts of both stages, and return the content of the last artifact.

    Args:
        store: The store of both artifacts.
        notify: A function that receives a line of the ledger for each step.
        worker: This worker. None: the only one.
    """
    table = _first(store, notify, worker or Worker())
    key = keys.key("sum", {"table": table.fingerprint})
    if store.find(key) is None:
        content = (store.fetch(table.key) / TABLE_NAME).read_text(encoding="utf-8")
        with store.open_workspace(key) as workspace:
            values = [record["value"] for record in json.loads(content)]
            (workspace.folder / SUM_NAME).write_text(_digest("".join(values)), encoding="utf-8")
            store.publish(key, metadata={"inputs": {"table": references.reference(table)}})
        notify(f"published {key}")
    return (store.fetch(key) / SUM_NAME).read_text(encoding="utf-8")


def _first(store: ArtifactStore, notify: Callable[[str], None], worker: Worker) -> Manifest:
    found = store.find(FIRST_KEY)
    if found:
        return found
    work = StageWork(
        stage="count",
        shards=split_into_shards(TASKS, num_records=len, max_shards=_NUM_SHARDS),
        identity=lambda record: record["task"],
        on_recovered=lambda _: None,
        on_done_elsewhere=lambda _: None,
    )
    with store.open_workspace(FIRST_KEY, shared=not worker.is_alone) as workspace:
        with open_shard_queue(workspace, work, worker, is_published=lambda: store.find(FIRST_KEY) is not None) as queue:
            _count(queue, notify)
            # As in real stages, only one worker publishes: publishing deletes the journals that others would read.
            if not worker.is_first:
                return _wait_for_the_leader(store)
            records = sorted(queue.records(), key=lambda record: record["task"])
            rows = [{"task": record["task"], "value": record["value"]} for record in records]
            (workspace.folder / TABLE_NAME).write_text(json.dumps(rows), encoding="utf-8")
        manifest = store.publish(FIRST_KEY, metadata={"num_records": len(rows)})
    notify(f"published {FIRST_KEY}")
    return manifest


def _wait_for_the_leader(store: ArtifactStore) -> Manifest:
    deadline = time.monotonic() + _LEADER_SECONDS
    while time.monotonic() < deadline:
        found = store.find(FIRST_KEY)
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("The leading worker has not published.")


def _count(queue: ShardQueue, notify: Callable[[str], None]) -> None:
    for number, step in enumerate(queue.tasks()):
        if step is None:
            continue
        claimed, task = step
        notify(f"computing {task}")
        checkpoint = queue.checkpoint(claimed.shard.name)
        partial = checkpoint.with_suffix(".partial")
        partial.write_bytes(save({"task": np.array([task])}))
        partial.replace(checkpoint)
        queue.add_record(claimed, {"task": task, "value": _digest(f"value {task}")})
        notify(f"recorded {task}")
        if number % 5 == 0:
            queue.save(everything=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _attempt(order: dict[str, str]) -> int:
    ledger = os.open(order["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    # Standard output is for the answers of the server, so progress lines of a stage must not go there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        store = FilesystemStore(Path(order["store"]), lock_wait_seconds=5)
        result = run(store, notify=lambda line: _write_line(ledger, line))
        _write_line(ledger, f"result {result}")
    except (ValueError, PeerKDError) as error:
        _write_line(ledger, f"error {error}")
        return 2
    except OSError as error:
        # A real stage translates the error. Its name is enough here.
        _write_line(ledger, f"error {error}")
        return 3
    except BaseException:
        _write_line(ledger, f"traceback {traceback.format_exc()!r}")
        return 70
    return 0


def _write_line(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())


def serve() -> None:
    """Fork a child for each order, and answer with its exit code: negative for the signal that ended it."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            os._exit(_attempt(json.loads(line)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
