from pathlib import Path

import pyarrow as pa
import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.launch.order import JobAccount
from peerkd.stages.cost import gather_accounts
from peerkd.stages.launched_stage import publish_accounts

STEPS = {"pretrain_peers": "pretrain_peers/1", "distill_pairs": "distill_pairs/2"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilesystemStore:
    for name in ("PEERKD_CLUSTER", "PEERKD_CLUSTER_FILE"):
        monkeypatch.delenv(name, raising=False)
    store = FilesystemStore(tmp_path / "runs")
    job = JobAccount(name="job", seconds=1800, num_workers=2, gpus_per_worker=4)
    publish_accounts([job, job], key="distill_pairs/2", store=store)
    return store


def test_the_accounts_of_all_steps_are_summed_with_the_operators_prices(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trials = pa.table({"student": [0, 1], "teacher": [1, 0], "seconds": [1.0, 3.0]})
    free = gather_accounts(STEPS, store)
    cost = free.cost(sweep="distill_pairs", trials=trials)
    assert cost is not None
    assert (cost.total.gpu_seconds, cost.total.money) == (2 * 1800 * 8, None)
    assert cost.pairs[1, 0].gpu_seconds == 2 * 1800 * 8 * 3 / 4
    file = tmp_path / "cluster.yaml"
    file.write_text("price_per_gpu_hour: 2.5\n")
    monkeypatch.setenv("PEERKD_CLUSTER_FILE", str(file))
    priced = gather_accounts(STEPS, store)
    cost = priced.cost()
    assert cost is not None
    assert cost.total.money == pytest.approx(8 * 2.5)
    # A report with other prices is another report.
    assert priced.causes != free.causes


def test_without_accounts_no_cost_is_reported(store: FilesystemStore) -> None:
    assert gather_accounts({"train_pcl": "train_pcl/3"}, store).cost() is None
