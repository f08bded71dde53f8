"""A backend that publishes empty artifacts instead of training."""

from typing import Any

from peerkd.artifacts.store import ArtifactStore
from peerkd.config.cluster import ClusterConfig
from peerkd.config.launch import LaunchConfig
from peerkd.launch.order import JobAccount, StageOrder

ACCOUNT = JobAccount(name="job", seconds=90.0, num_workers=2, gpus_per_worker=4)
METADATA: dict[str, Any] = {
    "peers": [{"test_global_accuracy": 0.5, "is_finite": True}],
    "runs": [],
    "students": [],
    "fingerprint": "0" * 64,
    "num_trials": 1,
    "num_diverged": 0,
    "spent_share": 0.05,
    "reached": {"fedavg": 0.5},
    "num_rounds": 1,
}
"""What the summaries of stages read of an artifact."""


class Backend:
    """A backend that records orders, and may or may not do the work."""

    def __init__(self, store: ArtifactStore, *, works: bool = True) -> None:
        self._store, self._works = store, works
        self.opened: dict[str, Any] = {}
        self.orders: list[StageOrder] = []

    def open(self, launch: LaunchConfig, *, cluster: ClusterConfig, run_id: str) -> "Backend":
        self.opened = {"backend": launch.backend, "cluster": cluster, "run_id": run_id}
        return self

    def run(self, order: StageOrder) -> list[JobAccount]:
        self.orders.append(order)
        if self._works:
            with self._store.open_workspace(order.key):
                self._store.publish(order.key, metadata=METADATA)
        return [ACCOUNT]
