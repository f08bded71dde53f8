"""A real Prometheus scrapes the endpoint of a real worker, and rules and dashboards are evaluated on its data."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from peerkd.metrics import endpoint, recorder
from peerkd.metrics.names import GROUP_LABELS, METRICS
from peerkd.metrics.progress import Progress
from tests.manifests.monitoring import FOLDER, FOREIGN, Query, filled_in, load_yaml, metric_names, queries
from tests.manifests.targets import pod_targets, quickened, with_files, write

PATIENCE_SECONDS = 120
THEIRS = {name for names in FOREIGN.values() for name in names} - {"up"}
RECORDED_FROM_THEIRS = {
    "job:peerkd_replaced_pods:count1h",
    "pod:peerkd_gpu_memory_used_bytes:max",
    "pod:peerkd_gpu_utilization:ratio",
}


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def pod(name: str, port: int, *, phase: str = "Running") -> dict[str, Any]:
    ports = [{"name": "metrics", "containerPort": port}, {"name": "pytorchjob-port", "containerPort": 23456}]
    return {
        "metadata": {"name": name, "namespace": "peerkd"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "pytorch", "ports": ports}]},
        "status": {"podIP": "127.0.0.1", "phase": phase},
    }


NODE = {"metadata": {"name": "node-1", "labels": {"peerkd.io/pool": "spot", "pool": "other"}}}


class Prometheus:
    """The answers of a running Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def is_ready(self) -> bool:
        """Whether the server answers. While it starts, it does not, or answers that it is unavailable."""
        try:
            urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=10).close()
        except OSError:
            return False
        return True

    def get(self, path: str, **parameters: str) -> Any:
        try:
            with urllib.request.urlopen(
                f"http://{self.address}{path}?{urllib.parse.urlencode(parameters)}", timeout=10
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, text: str) -> list[dict[str, Any]]:
        return list(self.get("/api/v1/query", query=text)["result"])


def tell() -> None:
    recorder.samples(640)
    recorder.losses({"loss": 1.0, "ensemble_to_branches": 0.5})
    recorder.accuracy("validation", 0.5)
    recorder.checkpoint_saved()
    recorder.gpu_memory(used_bytes=1, peak_bytes=2)
    recorder.store_error()


def summary_registry() -> CollectorRegistry:
    """The metrics of one job at a Pushgateway."""
    registry = CollectorRegistry()
    for metric in METRICS:
        if metric.writer == "summary":
            made = Gauge(metric.name, metric.help, ("job", *GROUP_LABELS), registry=registry)
            made.labels(job="peerkd", run="run-1", stage="train_pcl").set(1)
    return registry


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no Prometheus here; Debian has it in the package prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "rules.yaml").write_text(quickened((FOLDER / "rules.yaml").read_text(encoding="utf-8"), stall_seconds=1))
    worker_port, gone_port, address = free_port(), free_port(), f"127.0.0.1:{free_port()}"
    gateway, gateway_thread = start_http_server(0, addr="127.0.0.1", registry=summary_registry())
    pods = [
        pod("job-worker-0", worker_port),
        pod("job-worker-1", gone_port),
        pod("old-worker-0", worker_port, phase="Succeeded"),
    ]
    targets = {
        "peerkd-worker": pod_targets(pods, [NODE]),
        "peerkd-pushgateway": [
            {
                "targets": [f"127.0.0.1:{gateway.server_port}"],
                "labels": {"__meta_kubernetes_endpoint_port_name": "http"},
            }
        ],
    }
    config = write(folder, with_files(load_yaml("prometheus.yaml"), folder, interval="1s"), targets)
    environment = {
        "PEERKD_METRICS_PORT": str(worker_port),
        "PEERKD_RUN_ID": "run-1",
        "PEERKD_WORKER_INDEX": "0",
        "PEERKD_GPUS_PER_WORKER": "4",
    }
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (
        (folder / "log").open("w") as log,
        endpoint.recording("train_pcl", environment=environment),
        subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log) as running,
    ):
        made = Prometheus(address)
        try:
            progresses = [
                Progress("train_pcl", unit=unit, total=10**6, write=lambda stage, text: None)
                for unit in ("trials", "epochs")
            ]
            wait_for_data(made, progresses, running, folder)
            yield made
        finally:
            running.terminate()
            gateway.shutdown()
            gateway.server_close()
            gateway_thread.join()


def wait_for_data(made: Prometheus, progresses: list[Progress], running: subprocess.Popen[bytes], folder: Path) -> None:
    """Count progress until rates can be computed, and then none, to raise the alert."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    ready = False
    while not ready:
        assert running.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        tell()
        for progress in progresses:
            progress.advance()
        time.sleep(0.2)
        ready = made.is_ready and all(
            made.query(f"{name} > 0")
            for name in ("stage:peerkd_samples:rate5m", "stage:peerkd_epochs:rate5m", "run:peerkd_cost:interval")
        )


def reads_only_ours(query: Query) -> bool:
    return not metric_names(query.text) & (THEIRS | RECORDED_FROM_THEIRS)


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_the_query_of_every_panel_finds_metrics_of_a_worker(query: Query, prometheus: Prometheus) -> None:
    found = prometheus.query(filled_in(query.text))
    assert found or not reads_only_ours(query)


def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        evaluated = [rule for group in prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        assert [rule["lastError"] for rule in evaluated if "lastError" in rule] == []
        if {rule["health"] for rule in evaluated} == {"ok"}:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert len(evaluated) == sum(len(group["rules"]) for group in load_yaml("rules.yaml")["groups"])


def test_targets_have_the_labels_that_the_rules_expect(prometheus: Prometheus) -> None:
    up = {each["metric"]["pod"]: each for each in prometheus.query('up{job="peerkd-worker"}')}
    assert up.keys() == {"job-worker-0", "job-worker-1"}
    assert [up[name]["value"][1] for name in sorted(up)] == ["1", "0"]
    labels = up["job-worker-0"]["metric"]
    assert labels["instance"] == "job-worker-0"
    assert labels["namespace"] == "peerkd"
    assert labels["pool"] == "spot"


def test_a_worker_without_progress_raises_an_alert(prometheus: Prometheus) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        firing = [
            alert["labels"]
            for alert in prometheus.get("/api/v1/alerts")["alerts"]
            if alert["labels"]["alertname"] == "PeerkdWorkerStalled" and alert["state"] == "firing"
        ]
        if firing:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (labels,) = firing
    assert (labels["pod"], labels["run"], labels["stage"]) == ("job-worker-0", "run-1", "train_pcl")


def test_gpu_seconds_and_cost_are_attributed_to_the_pool(prometheus: Prometheus) -> None:
    (gpus,) = prometheus.query("run:peerkd_gpus:sum")
    assert gpus["value"][1] == "4"
    assert gpus["metric"]["pool"] == "spot"
    (cost,) = prometheus.query("run:peerkd_cost:interval * 3600 / run:peerkd_gpu_seconds:interval")
    assert float(cost["value"][1]) == pytest.approx(0.90)
