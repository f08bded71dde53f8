import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.errors import StageFailedError
from peerkd.launch.order import JobAccount
from peerkd.stages import distill_pairs, launched, pretrain_peers, train_pcl, tune_pairs
from peerkd.stages.launched import LaunchOptions, find_accounts, resolve

ROOT = Path(__file__).parents[3]
ACCOUNT = JobAccount(name="job", seconds=90.0, num_workers=2, gpus_per_worker=4)


@pytest.fixture(autouse=True)
def _no_cluster_file(monkeypatch):
    monkeypatch.delenv(CLUSTER_FILE_VARIABLE, raising=False)


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def partition(store, tmp_path):
    """The reference to a partition, as the task before hands it on."""
    with store.open_workspace("partition_data/a"):
        manifest = store.publish("partition_data/a", metadata={})
    references.write(str(tmp_path / "partition.json"), manifest)
    return manifest


class Backend:
    """Takes orders; does the work, or does not."""

    def __init__(self, store, *, works=True):
        self._store, self._works = store, works
        self.opened = {}
        self.orders = []

    def open(self, name, *, cluster, run_id, task_id):
        self.opened = {"name": name, "cluster": cluster, "run_id": run_id, "task_id": task_id}
        return self

    def run(self, order):
        self.orders.append(order)
        if self._works:
            with self._store.open_workspace(order.key):
                self._store.publish(order.key, metadata={"peers": [{"test_global_accuracy": 0.5}]})
        return [ACCOUNT]


def pretrain(tmp_path, **options):
    pretrain_peers.run(
        config_json=ExperimentConfig().to_json(),
        store=str(tmp_path / "store"),
        partition_path=str(tmp_path / "partition.json"),
        peers_path=str(tmp_path / "peers.json"),
        **options,
    )


def test_what_is_not_there_is_ordered_and_its_reference_handed_on(store, partition, tmp_path, monkeypatch):
    backend = Backend(store)
    monkeypatch.setattr(launched, "open_backend", backend.open)
    pretrain(tmp_path, backend="kubernetes", num_workers="3", cluster="queue=research", run_id="r", task_id="t")
    (order,) = backend.orders
    assert order.key == pretrain_peers.key(ExperimentConfig(), partition)
    assert order.inputs == {"partition": references.reference(partition)}
    assert (order.stage, order.store, order.num_processes) == ("pretrain_peers", str(tmp_path / "store"), 1)
    assert backend.opened["cluster"].num_workers == 3
    assert backend.opened["cluster"].queue == "research"
    assert {name: backend.opened[name] for name in ("name", "run_id", "task_id")} == {
        "name": "kubernetes",
        "run_id": "r",
        "task_id": "t",
    }
    assert json.loads((tmp_path / "peers.json").read_text())["key"] == order.key
    assert find_accounts(order.key, store) == [ACCOUNT]


def test_what_is_there_is_not_ordered_again(store, partition, tmp_path, monkeypatch, capsys):
    backend = Backend(store)
    monkeypatch.setattr(launched, "open_backend", backend.open)
    pretrain(tmp_path)
    pretrain(tmp_path)
    assert len(backend.orders) == 1
    assert "pretrain_peers: already done: 1 peers, test accuracy 50.0% to 50.0%" in capsys.readouterr().out


def test_an_order_that_ends_without_its_artifact_has_failed(store, partition, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launched, "open_backend", Backend(store, works=False).open)
    monkeypatch.delenv("PEERKD_ERROR_FILE", raising=False)
    with pytest.raises(SystemExit) as caught:
        pretrain(tmp_path)
    assert caught.value.code == 1
    assert "pretrain_peers ended without pretrain_peers/" in capsys.readouterr().out
    assert not (tmp_path / "peers.json").exists()


def test_processes_that_workers_cannot_share_evenly_are_refused_before_any_work(store, monkeypatch):
    backend = Backend(store)
    monkeypatch.setattr(launched, "open_backend", backend.open)
    with pytest.raises(
        ValueError, match=r"^training.num_processes must be a multiple of the number of workers \(2\), got 3\.$"
    ):
        launched.obtain(
            "train_pcl/a",
            stage="train_pcl",
            config_json="",
            address="store",
            store=store,
            inputs={},
            summary=lambda metadata: "",
            options=LaunchOptions(num_workers="2"),
            num_processes=3,
        )
    assert backend.orders == []


def test_a_task_without_accounts_has_none(store):
    assert find_accounts("pretrain_peers/none", store) == []
    launched.publish_accounts([], key="pretrain_peers/none", store=store)
    assert find_accounts("pretrain_peers/none", store) == []


@pytest.mark.parametrize(("gpus", "expected"), [("0", 2), ("", 2), ("1", 1)])
def test_no_gpu_chosen_leaves_those_that_the_author_put_on_the_task(gpus, expected):
    task_config = {"resources": {"limits": {"nvidia.com/gpu": "2"}}, "env": []}
    assert resolve(LaunchOptions(gpus=gpus, task_config=task_config)).gpus_per_worker == expected


def test_no_gpu_chosen_is_none_where_the_task_says_nothing(tmp_path, monkeypatch):
    (tmp_path / "cluster.yaml").write_text("gpus_per_worker: 1\nnum_workers: 4\n")
    monkeypatch.setenv(CLUSTER_FILE_VARIABLE, str(tmp_path / "cluster.yaml"))
    assert resolve(LaunchOptions(gpus="0")).gpus_per_worker == 0
    assert resolve(LaunchOptions()).gpus_per_worker == 1
    assert resolve(LaunchOptions()).num_workers == 4


@pytest.mark.parametrize(
    ("stage", "config", "options"),
    [
        (pretrain_peers, ExperimentConfig(), {"partition_path": "input", "peers_path": "output"}),
        (distill_pairs, ExperimentConfig(), {"peers_path": "input", "trials_path": "output"}),
        (tune_pairs, ExperimentConfig(), {"peers_path": "input", "study_path": "output"}),
        (train_pcl, PclConfig(), {"split_path": "input", "runs_path": "output"}),
    ],
    ids=lambda value: getattr(value, "NAME", ""),
)
def test_who_orders_a_stage_needs_neither_torch_nor_arrays(stage, config, options, store, tmp_path):
    """In a fresh interpreter, so that no other test has imported them."""
    with store.open_workspace("before/a"):
        before = store.publish("before/a", metadata={})
    metadata = {"peers": [{"test_global_accuracy": 0.5}], "runs": [], "fingerprint": "0" * 64}
    metadata |= {"num_trials": 1, "spent_share": 0.05}
    key = stage.key(config, before)
    with store.open_workspace(key):
        store.publish(key, metadata=metadata)
    references.write(str(tmp_path / "input"), before)
    paths = {name: str(tmp_path / path) for name, path in options.items()}
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from peerkd.stages import {stage.NAME} as stage
        import peerkd.launch.local_workers, peerkd.stages.command
        stage.run(config_json={config.to_json()!r}, store={str(tmp_path / "store")!r}, **{paths!r})
        print(*({{"torch", "numpy", "pyarrow", "scipy"}} & sys.modules.keys()))
        # Not getrusage, whose peak is that of the process that forked this one, if it was larger.
        print(*(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
    """)
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    said, heavy, peak_kib = ended.stdout.splitlines()
    assert "already done" in said
    assert heavy == ""
    assert int(peak_kib) < 100 * 1024
    assert (tmp_path / "output").is_file()


def test_a_failure_of_the_backend_is_the_stages(store, partition, tmp_path, monkeypatch, capsys):
    def fail(order):
        raise StageFailedError("It rained.")

    backend = Backend(store)
    backend.run = fail
    monkeypatch.setattr(launched, "open_backend", backend.open)
    monkeypatch.delenv("PEERKD_ERROR_FILE", raising=False)
    with pytest.raises(SystemExit):
        pretrain(tmp_path)
    assert "pretrain_peers: error: It rained." in capsys.readouterr().out
