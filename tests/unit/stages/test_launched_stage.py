import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from kfp.dsl import TaskConfig

from peerkd.artifacts import references
from peerkd.artifacts.open import open_store
from peerkd.config.cluster import CLUSTER_FILE_VARIABLE
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.launch import LaunchConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import pipeline_of
from peerkd.errors import StageFailedError
from peerkd.stages import distill_pairs, improve_peers, launched_stage, pretrain_peers, train_pcl, tune_pairs
from peerkd.stages.launched_stage import find_accounts
from tests.unit.stages.backends import ACCOUNT, METADATA, Backend

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_cluster_file(monkeypatch):
    monkeypatch.delenv(CLUSTER_FILE_VARIABLE, raising=False)


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def partition(store):
    with store.open_workspace("partition_data/a"):
        return store.publish("partition_data/a", metadata={})


def pretrain(partition, store, tmp_path, *, launch=None, **options):
    return pretrain_peers.STAGE.make(
        ExperimentConfig(),
        partition,
        store,
        launch=launch or LaunchConfig(),
        address=str(tmp_path / "store"),
        **options,
    )


def test_a_missing_artifact_is_ordered_and_its_manifest_is_returned(store, partition, tmp_path, monkeypatch):
    backend = Backend(store)
    monkeypatch.setattr(launched_stage, "open_backend", backend.open)
    launch = LaunchConfig(backend="kubernetes", num_workers=3, cluster="queue=research 'node_selector={a: \"b=c\"}'")
    resources = TaskConfig(resources={"limits": {"cpu": "3"}})
    made = pretrain(partition, store, tmp_path, launch=launch, run_id="r", task_config=resources)
    (order,) = backend.orders
    assert order.key == pretrain_peers.key(ExperimentConfig(), partition)
    assert order.inputs == {"partition": references.reference(partition)}
    assert (order.stage, order.store, order.num_processes) == ("pretrain_peers", str(tmp_path / "store"), 1)
    assert backend.opened["cluster"].num_workers == 3
    assert backend.opened["cluster"].queue == "research"
    assert backend.opened["cluster"].node_selector == {"a": "b=c"}
    assert backend.opened["cluster"].cpu_per_worker == "3"
    assert (backend.opened["backend"], backend.opened["run_id"]) == ("kubernetes", "r")
    assert made.key == order.key
    assert find_accounts(order.key, store) == [ACCOUNT]


def test_an_existing_artifact_is_not_ordered_again(store, partition, tmp_path, monkeypatch, capsys):
    backend = Backend(store)
    monkeypatch.setattr(launched_stage, "open_backend", backend.open)
    pretrain(partition, store, tmp_path)
    pretrain(partition, store, tmp_path)
    assert len(backend.orders) == 1
    assert "pretrain_peers: already done: 1 peers, global test accuracy 50.0% to 50.0%" in capsys.readouterr().out


def test_an_order_that_ends_without_its_artifact_has_failed(store, partition, tmp_path, monkeypatch):
    monkeypatch.setattr(launched_stage, "open_backend", Backend(store, works=False).open)
    with pytest.raises(StageFailedError, match=r"^pretrain_peers ended without pretrain_peers/"):
        pretrain(partition, store, tmp_path)


def together(num_processes):
    config = PclConfig()
    return config.model_copy(update={"training": config.training.model_copy(update={"num_processes": num_processes})})


def test_processes_that_cannot_be_divided_among_workers_are_refused_before_any_work(store, partition, monkeypatch):
    backend = Backend(store)
    monkeypatch.setattr(launched_stage, "open_backend", backend.open)
    with pytest.raises(
        ValueError, match=r"^training.num_processes must be a multiple of the number of workers \(2\), got 3\.$"
    ):
        train_pcl.STAGE.make(together(3), partition, store, launch=LaunchConfig(num_workers=2))
    assert backend.orders == []


def test_processes_that_train_together_are_refused_in_the_calling_process(store, partition):
    with pytest.raises(ValueError, match=r"^training.num_processes must be 1 if the number of workers is 0, .* 3\.$"):
        train_pcl.STAGE.make(together(3), partition, store)


def test_a_description_that_breaks_a_rule_is_refused(store, partition, tmp_path):
    with pytest.raises(ValueError, match=r"^service_account must be peerkd-worker or one of "):
        pretrain(partition, store, tmp_path, launch=LaunchConfig(backend="kubernetes", cluster="service_account=admin"))


@pytest.mark.parametrize(("gpus", "num_gpus"), [("", 0), ("0,1", 1)])
def test_the_calling_process_does_the_work_if_there_are_no_workers(store, partition, monkeypatch, gpus, num_gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)

    def perform(config, source, store, worker):
        assert (source, worker.is_in_process, worker.is_alone, worker.is_first) == (partition, True, True, True)
        key = pretrain_peers.key(config, source)
        with store.open_workspace(key):
            store.publish(key, metadata={"peers": []})

    modules = {"peerkd.stages.work.pretrain_peers": SimpleNamespace(perform=perform)}
    monkeypatch.setattr(launched_stage, "import_module", modules.__getitem__)
    made = pretrain_peers.STAGE.make(ExperimentConfig(), partition, store)
    (account,) = find_accounts(made.key, store)
    assert (account.name, account.num_workers, account.gpus_per_worker) == ("in-process", 1, num_gpus)


def test_a_task_without_accounts_has_none(store):
    assert find_accounts("pretrain_peers/none", store) == []
    launched_stage.publish_accounts([], key="pretrain_peers/none", store=store)
    assert find_accounts("pretrain_peers/none", store) == []


@pytest.mark.parametrize(
    ("stage", "config"),
    [
        (pretrain_peers, ExperimentConfig()),
        (distill_pairs, ExperimentConfig()),
        (tune_pairs, ExperimentConfig()),
        (improve_peers, ExperimentConfig()),
        (train_pcl, PclConfig()),
    ],
    ids=lambda value: getattr(value, "NAME", ""),
)
def test_ordering_a_stage_needs_neither_torch_nor_numpy(stage, config, store, tmp_path):
    """A fresh interpreter is used, because another test may have imported them."""
    with store.open_workspace("before/a"):
        before = store.publish("before/a", metadata={"fingerprint": "ab" * 32})
    key = stage.key(config, before)
    with store.open_workspace(key):
        store.publish(key, metadata=METADATA)
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from peerkd.stages.{stage.NAME} import STAGE
        import peerkd.launch.local_workers, peerkd.stages.train_and_report
        import peerkd.stages.build_report, peerkd.stages.compare_methods
        from peerkd.artifacts import references
        from peerkd.config.pipelines import find_pipeline
        from peerkd.stages.opened_store import open_stage_store
        store = open_stage_store(STAGE.name, {str(tmp_path / "store")!r})
        config = find_pipeline({pipeline_of(config).name!r}).config.from_json({config.to_json()!r})
        STAGE.make(config, references.follow({references.reference(before)!r}, store), store)
        print(*({{"torch", "numpy", "pyarrow", "scipy"}} & sys.modules.keys()))
        # Not getrusage, whose peak is that of the process that forked this one, if it was larger.
        print(*(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
    """)
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    said, heavy, peak_kib = ended.stdout.splitlines()
    assert "already done" in said
    assert heavy == ""
    assert int(peak_kib) < 100 * 1024
