"""A sweep that several workers share gives the numbers of one worker, even if one is lost.

In one of the cases, the workers are the processes that a launcher starts, which start training processes of their own.
In the others they are forked, because they would do the same and spend most of their time on importing torch.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.launch.order import StageOrder
from peerkd.results.table import read_table
from peerkd.stages import distill_pairs
from tests.forked import ForkedCommand
from tests.pipelines.experiments import IMPATIENT, SLOWLY, TINY, publish_inputs, wait_for
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[2]

CONFIG = resolve(JOINTKD, preset="digits", overrides=" ".join([*TINY, "distill.epochs=2"]))


class Sweep:
    """A sweep in a store that has the artifacts of all stages before it."""

    def __init__(self, address: str, finished: Path) -> None:
        self.store = open_store(address)
        self.root = None if "://" in address else Path(address)
        # Each look at a bucket is several requests, for which the server of the tests takes more time than for a sweep.
        self.interval_seconds = 0.05 if self.root else 0.3
        self.peers = publish_inputs(finished, self.store)
        self.key = distill_pairs.key(CONFIG, self.peers)
        order = StageOrder(
            stage="distill_pairs",
            config_json=CONFIG.to_json(),
            store=address,
            inputs={"peers": references.reference(self.peers)},
            key=self.key,
        )
        self._arguments = order.command()[3:]

    def start(
        self, index: int, num_workers: int, *, is_forked: bool = True, is_slow: bool = False
    ) -> ForkedCommand | subprocess.Popen[bytes]:
        ours = {"PEERKD_WORKER_INDEX": str(index), "PEERKD_NUM_WORKERS": str(num_workers), "PEERKD_NUM_CORES": "1"}
        environment = {**os.environ, **ours, **(SLOWLY if is_slow else {})}
        if is_forked:
            return ForkedCommand(self._arguments, environment=environment, preparation=IMPATIENT)
        return subprocess.Popen([sys.executable, "-m", IMPATIENT, *self._arguments], env=environment, cwd=ROOT)

    def records_of(self, index: int) -> list[dict[str, object]]:
        """Return the records that one worker has saved."""
        if self.root:
            # A single worker has locked the workspace, so the files are read directly.
            paths = self.root.glob(f"{self.key}.partial/scratch/journals/*/*-{index:04d}-*.jsonl")
            return [json.loads(line) for path in paths for line in path.read_bytes().split(b"\n")[:-1]]
        with self.store.open_workspace(self.key, shared=True) as workspace:
            records = []
            for name in workspace.saved("scratch/journals/"):
                if f"-{index:04d}-" in name and workspace.load(name):
                    lines = (workspace.folder / name).read_bytes().split(b"\n")[:-1]
                    records += [json.loads(line) for line in lines]
            return records

    def table(self):
        return read_table(self.store.fetch(self.key) / distill_pairs.TABLE_NAME)


@pytest.fixture(scope="module")
def by_one(finished, tmp_path_factory):
    """The table of a sweep with one worker."""
    sweep = Sweep(str(tmp_path_factory.mktemp("one") / "runs"), finished[0])
    with sweep.start(0, 1) as worker:
        assert worker.wait(timeout=900) == 0
    return sweep.table()


@pytest.fixture(params=["folder", "s3"])
def sweep(request, finished, tmp_path, monkeypatch):
    if request.param == "folder":
        return Sweep(str(tmp_path / "runs"), finished[0])
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Sweep(f"s3://{server.bucket}/{tmp_path.name}", finished[0])


# A takeover waits until a claim is stale, so only one kind of store is tested with it.
@pytest.mark.parametrize(
    ("sweep", "lost"),
    [("folder", 0), pytest.param("s3", 0, marks=pytest.mark.slow), pytest.param("s3", 1, marks=pytest.mark.slow)],
    indirect=["sweep"],
)
def test_a_worker_killed_during_a_sweep_loses_no_trial_and_changes_no_number(sweep, by_one, lost):
    """The first worker is restarted and continues. The second is not restarted: the first takes over its work."""
    is_forked = sweep.root is None
    workers = [sweep.start(index, 2, is_forked=is_forked, is_slow=True) for index in range(2)]
    try:
        wait_for(lambda: len(sweep.records_of(lost)) >= 3, interval_seconds=sweep.interval_seconds)
        assert workers[lost].poll() is None, "ended before it was killed"
        workers[lost].send_signal(signal.SIGKILL)
        assert workers[lost].wait() == -signal.SIGKILL
        assert sweep.store.find(sweep.key) is None
        kept = sweep.records_of(lost)
        if lost == 0:
            workers[0] = sweep.start(0, 2, is_forked=is_forked)
        assert workers[0].wait(timeout=900) == 0
        if lost == 0:
            assert workers[1].wait(timeout=900) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    table = sweep.table()
    assert table.drop_columns("seconds").equals(by_one.drop_columns("seconds"))
    # A trial that was repeated would have a different time.
    assert {record["seconds"] for record in kept} <= set(table["seconds"].to_pylist())


def test_a_terminated_worker_saves_its_finished_trials(sweep):
    with sweep.start(0, 1, is_forked=sweep.root is None, is_slow=True) as worker:
        wait_for(lambda: sweep.records_of(0), interval_seconds=sweep.interval_seconds)
        worker.terminate()
        assert worker.wait(timeout=60) == 143
    before = len(sweep.records_of(0))
    assert before >= 1
    with sweep.start(0, 1) as worker:
        assert worker.wait(timeout=900) == 0
    assert sweep.table().num_rows > before
