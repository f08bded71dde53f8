import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes.client import Configuration

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.run import KubernetesJobs
from peerkd.launch.kubernetes.transport import Transport
from peerkd.launch.order import JobAccount, StageOrder
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.trainjob import controller_of

# An expected event must happen. The tests do not check how soon.
PATIENCE_SECONDS = 20.0


of_all_kinds = pytest.mark.parametrize("kind", JOB_KINDS, ids=lambda kind: kind.name)
"""A decorator for tests that run with each kind of job. Other tests use PyTorchJobs."""


def jobs(kubernetes: FakeKubernetes) -> list[dict[str, Any]]:
    return kubernetes.jobs(NAMESPACE)


def num_followed_pods(kubernetes: FakeKubernetes) -> int:
    """Return of how many pods the log was requested. A log that breaks off may be requested more than once."""
    return len({each.path for each in kubernetes.asked("GET", "/log")})


def eventually(holds: Callable[[], Any], *, what: str = "") -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, what or "it never held"
        time.sleep(0.01)


class Launch:
    """A launcher that runs in a thread."""

    def __init__(self, backend: KubernetesJobs, order: StageOrder) -> None:
        self._backend, self._order = backend, order
        self._accounts: list[JobAccount] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> list[JobAccount]:
        self._thread.join(PATIENCE_SECONDS)
        assert self.is_over, "the launcher is still waiting"
        if self._error is not None:
            raise self._error
        return self._accounts

    def _run(self) -> None:
        try:
            self._accounts = self._backend.run(self._order)
        except BaseException as error:
            self._error = error


StartLaunch = Callable[..., Launch]


@pytest.fixture(autouse=True)
def _no_long_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerkd.launch.retries._FIRST_WAIT_SECONDS", 0.02)


@pytest.fixture
def kubernetes() -> Iterator[FakeKubernetes]:
    fake = FakeKubernetes()
    yield fake
    fake.stop()


@pytest.fixture
def kind() -> JobKind:
    return PYTORCHJOB


@pytest.fixture
def operator(kubernetes: FakeKubernetes, kind: JobKind) -> Operator:
    return controller_of(kubernetes, kind.name)


@pytest.fixture
def connection(kubernetes: FakeKubernetes) -> Cluster:
    return Cluster(Transport(Configuration(host=kubernetes.address)), namespace=NAMESPACE)


@pytest.fixture
def order() -> StageOrder:
    return StageOrder(
        stage="distill_pairs",
        config_json="{}",
        store="s3://bucket/runs",
        inputs={"peers": {"key": "pretrain_peers/12ab", "fingerprint": "ff00"}},
        key="distill_pairs/34cd",
    )


@pytest.fixture
def launch(kubernetes: FakeKubernetes, connection: Cluster, order: StageOrder, kind: JobKind) -> Callable[..., Launch]:
    """Start a launcher, and wait until its job exists and is watched, unless ``made`` is false."""

    def start(*, made: bool = True, environment: dict[str, str] | None = None, **settings: Any) -> Launch:
        cluster = ClusterConfig.model_validate({"start_seconds": 0.1, "patience_seconds": 10.0, **settings})
        backend = KubernetesJobs(
            cluster, kind=kind, run_id="run-1", connection=connection, environment=environment or {}
        )
        started = Launch(backend, order)
        if made:
            eventually(lambda: kubernetes.asked_for_jobs("POST"))
            eventually(lambda: jobs(kubernetes))
            # From here on, no change of a pod is missed.
            eventually(lambda: [each for each in kubernetes.asked("GET", "/pods") if each.is_watch])
        return started

    return start
