"""Launchers in separate processes receive SIGTERM and SIGINT."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.signals import DeleteOnSignal
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import eventually

_SCRIPT = """
import sys
from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.run import KubernetesJobs
from peerkd.launch.order import StageOrder

order = StageOrder(stage="distill_pairs", config_json="{}", store="s3://b/p", inputs={}, key="distill_pairs/1")
KubernetesJobs(ClusterConfig(namespace="peerkd"), kind=PYTORCHJOB, run_id="run-1").run(order)
"""


@pytest.fixture
def launcher(kubernetes: FakeKubernetes, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": kubernetes.address}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"KUBECONFIG": str(tmp_path / "config"), "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[4],
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_deletes_the_job_and_ends_the_process(
    kubernetes: FakeKubernetes, operator: Operator, launcher: subprocess.Popen[str], number: int, code: int
) -> None:
    eventually(lambda: [each for each in kubernetes.asked("GET", "pods") if each.is_watch])
    operator.start()
    uid = operator.job()["metadata"]["uid"]
    num_before = len(kubernetes.requests)
    launcher.send_signal(number)
    assert launcher.wait(10) == code
    assert kubernetes.store.list("pytorchjobs", NAMESPACE) == []
    (delete,) = kubernetes.asked("DELETE")
    assert delete.body["preconditions"] == {"uid": uid}
    assert delete in kubernetes.requests[num_before:]
    assert len(kubernetes.asked("POST", "pytorchjobs")) == 1
    if number == signal.SIGTERM:
        assert launcher.stdout is not None
        assert [line for line in launcher.stdout.read().splitlines() if "peerkd |" not in line] == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read where Linux tells it")
def test_a_launcher_costs_less_than_100_mib(
    kubernetes: FakeKubernetes, operator: Operator, launcher: subprocess.Popen[str]
) -> None:
    eventually(lambda: [each for each in kubernetes.asked("GET", "pods") if each.is_watch])
    operator.start()
    for number in range(1000):
        kubernetes.log(operator.pod_name(), f"line {number}")
    eventually(lambda: kubernetes.asked("GET", "/log"))
    status = Path(f"/proc/{launcher.pid}/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert 20 < peak / 1024 < 100


def test_a_closed_reader_does_not_prevent_the_deletion(
    kubernetes: FakeKubernetes, operator: Operator, launcher: subprocess.Popen[str]
) -> None:
    eventually(lambda: [each for each in kubernetes.asked("GET", "pods") if each.is_watch])
    operator.start()
    assert launcher.stdout is not None
    launcher.stdout.close()
    kubernetes.log(operator.pod_name(), "a line that nobody will read")
    launcher.send_signal(signal.SIGTERM)
    launcher.wait(10)
    assert kubernetes.store.list("pytorchjobs", NAMESPACE) == []


def test_a_stop_during_the_creation_of_a_job_deletes_it_afterwards(
    kubernetes: FakeKubernetes, launcher: subprocess.Popen[str]
) -> None:
    kubernetes.on_create = lambda _: launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(20) == 143
    assert len(kubernetes.asked("POST", "pytorchjobs")) == 1
    assert kubernetes.store.list("pytorchjobs", NAMESPACE) == []


def test_a_later_job_of_the_same_name_is_not_deleted(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    kubernetes.store.put("pytorchjobs", NAMESPACE, {"metadata": {"name": "job", "uid": "later"}})
    with DeleteOnSignal(connection, PYTORCHJOB.resource) as on_signal:
        on_signal.set_job("job", "earlier")
        with pytest.raises(SystemExit) as raised:
            signal.raise_signal(signal.SIGTERM)
    assert raised.value.code == 143
    assert json.dumps(kubernetes.asked("DELETE")[0].body).count("earlier") == 1
    assert kubernetes.store.get("pytorchjobs", NAMESPACE, "job") is not None


def test_an_api_that_does_not_answer_delays_the_end_only_briefly(
    connection: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.stop()
    with DeleteOnSignal(connection, PYTORCHJOB.resource) as on_signal:
        on_signal.set_job("job", "uid")
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)


def test_handlers_are_restored_afterwards(connection: Cluster) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with DeleteOnSignal(connection, PYTORCHJOB.resource):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_in_another_thread_there_are_no_handlers(connection: Cluster) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def enter() -> None:
        with DeleteOnSignal(connection, PYTORCHJOB.resource):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
