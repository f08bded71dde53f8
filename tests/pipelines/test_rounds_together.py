"""Rounds whose peers several workers share give the numbers of one worker, even if one is lost."""

import os
import signal
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.pipelines import COLLABORATE
from peerkd.config.resolve import resolve
from peerkd.launch.order import StageOrder
from peerkd.stages import collaborate_peers
from peerkd.stages.in_process import run_in_process
from tests.forked import ForkedCommand
from tests.pipelines.experiments import IMPATIENT, publish_inputs, wait_for
from tests.s3_server import S3Server

TINY = (
    "partition.num_peers=4 data.max_train_samples=450 data.max_test_samples=150 pretrain.epochs=1 "
    "peers.architectures=[mlp] compute.device=cpu rounds.num_rounds=4 rounds.epochs=1 "
    "rounds.methods=[predictions,fedavg]"
)
WHOLE = resolve(COLLABORATE, preset="digits", overrides=TINY)
SHARED = resolve(COLLABORATE, preset="digits", overrides=f"{TINY} compute.num_round_parts=3")


@pytest.fixture(scope="module")
def by_one(tmp_path_factory) -> Path:
    """The store of a run in which one process did all rounds of each method."""
    folder = tmp_path_factory.mktemp("one")
    run_in_process(WHOLE, str(folder))
    return folder


class Rounds:
    """Rounds in a store that has the artifacts of all stages before them."""

    def __init__(self, address: str, by_one: Path) -> None:
        self.store, self.root = open_store(address), None if "://" in address else Path(address)
        self.peers = publish_inputs(by_one, self.store)
        self.key = collaborate_peers.key(SHARED, self.peers)
        done = open_store(str(by_one))
        (self.expected,) = (done.find(key) for key in done.keys() if key == self.key)  # noqa: SIM118
        order = StageOrder(
            stage=collaborate_peers.NAME,
            config_json=SHARED.to_json(),
            store=address,
            inputs={"peers": references.reference(self.peers)},
            key=self.key,
        )
        self._arguments = order.command()[3:]

    def start(self, index: int, num_workers: int, *, seconds_per_record: float = 0.0) -> ForkedCommand:
        ours = {"PEERKD_WORKER_INDEX": str(index), "PEERKD_NUM_WORKERS": str(num_workers), "PEERKD_NUM_CORES": "1"}
        environment = {**os.environ, **ours, "SECONDS_PER_RECORD": str(seconds_per_record)}
        return ForkedCommand(self._arguments, environment=environment, preparation=IMPATIENT)

    def journals_of(self, index: int) -> list[str]:
        """Return the names of the journals of one worker that have a record."""
        with self.store.open_workspace(self.key, shared=True) as workspace:
            names = [name for name in workspace.saved("scratch/journals/") if f"-{index:04d}-" in name]
            return [name for name in names if workspace.load(name) and (workspace.folder / name).stat().st_size]

    def check(self) -> None:
        """Check that the artifact has the numbers and the networks of one worker."""
        made = self.store.find(self.key)
        assert made.metadata["fingerprint"] == self.expected.metadata["fingerprint"]
        networks = {name: entry for name, entry in made.files.items() if name.endswith(".safetensors")}
        assert len(networks) == 4
        assert networks.items() <= self.expected.files.items()


@pytest.fixture(params=["folder", "s3"])
def rounds(request, by_one, tmp_path, monkeypatch) -> Rounds:
    if request.param == "folder":
        return Rounds(str(tmp_path / "runs"), by_one)
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Rounds(f"s3://{server.bucket}/{tmp_path.name}", by_one)


@pytest.mark.parametrize(
    ("rounds", "lost"), [("folder", 0), pytest.param("s3", 1, marks=pytest.mark.slow)], indirect=["rounds"]
)
def test_a_worker_lost_during_a_round_changes_no_number(rounds: Rounds, lost: int) -> None:
    """The first worker is restarted and continues. The second is not restarted: the first takes over its peers."""
    workers = [rounds.start(index, 2, seconds_per_record=0.3) for index in range(2)]
    try:
        wait_for(lambda: len(rounds.journals_of(lost)) >= 3, interval_seconds=0.1)
        assert workers[lost].poll() is None, "ended before it was killed"
        workers[lost].send_signal(signal.SIGKILL)
        assert workers[lost].wait() == -signal.SIGKILL
        assert rounds.store.find(rounds.key) is None
        if lost == 0:
            workers[0] = rounds.start(0, 2)
        assert workers[0].wait(timeout=300) == 0
        if lost == 0:
            assert workers[1].wait(timeout=300) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    rounds.check()


@pytest.mark.parametrize("rounds", ["folder"], indirect=True)
def test_one_worker_continues_after_the_last_finished_round_even_if_a_file_is_damaged(rounds: Rounds) -> None:
    with rounds.start(0, 1, seconds_per_record=0.2) as worker:
        folder = rounds.root / f"{rounds.key}.partial/scratch/rounds"
        wait_for(lambda: len(list(folder.glob("predictions-00004-*"))) >= 1, interval_seconds=0.02)
        worker.kill()
        worker.wait()
    # The files of the last two finished rounds are kept.
    assert not list(folder.glob("predictions-00001-*"))
    damaged = folder / "predictions-00003-001of003.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8] + b"damaged!")
    with rounds.start(0, 1) as worker:
        assert worker.wait(timeout=300) == 0
    rounds.check()
