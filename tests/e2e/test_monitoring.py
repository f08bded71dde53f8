"""A real Prometheus on this machine monitors the workers of studies on the cluster, with the shipped configuration.

Debian's Prometheus was built without support for Kubernetes. The targets that it would discover are read through
kubectl and passed to it as files. Rules are evaluated every second, and a worker counts as stalled sooner than in the
shipped rules.
"""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import load
from peerkd.metrics.names import METRICS
from tests.e2e.kind import KIND
from tests.e2e.kubectl import PATIENCE, KubectlError, items, kubectl, wait_until
from tests.e2e.studies import LONG, NAMESPACE, Site, Study
from tests.e2e.test_faults import Running, name, unfinished
from tests.manifests.monitoring import FOLDER, FOREIGN, Query, filled_in, load_yaml, metric_names, queries, rules
from tests.manifests.targets import pod_targets, quickened, with_files, write
from tests.manifests.test_monitoring_prometheus import Prometheus, free_port
from tests.plans import whole_plan

PATIENCE_SECONDS = 120
STALL_SECONDS = 20
"""A time longer than the pause between two trials of a worker with a fifth of a core."""

WORKER = ("cpu_per_worker=200m", "memory_per_worker=1Gi", "shared_memory=128Mi", "price_per_worker_hour=3600")
"""A price at which the cost of a worker is its running time in seconds."""

COLLABORATION = (
    "methods=[plain,pcl]",
    "num_seeds=1",
    "training.epochs=4",
    "training.batch_size=128",
    "collaboration.rampup_epochs=2",
    "compute.checkpoint_steps=2",
)

THEIRS = {each for names in FOREIGN.values() for each in names} - {"up"}
FROM_THEIRS = {rule["record"] for rule in rules() if "record" in rule and metric_names(rule["expr"]) & THEIRS}
SUMMARIES = {metric.name for metric in METRICS if metric.writer == "summary"}
OURS = [query for query in queries() if not metric_names(query.text) & (THEIRS | FROM_THEIRS)]
OF_SUMMARIES = [query for query in OURS if metric_names(query.text) & SUMMARIES]
OF_PCL = [query for query in OURS if query.dashboard == "pcl"]
OF_SWEEP = [query for query in OURS if query not in OF_SUMMARIES + OF_PCL]
RECORDED = sorted({rule["record"] for rule in rules() if "record" in rule} - FROM_THEIRS)


class Watch:
    """A running Prometheus, and the Pushgateway that it scrapes, if one is installed."""

    def __init__(self, prometheus: Prometheus, *, gateway: str) -> None:
        self.prometheus, self.gateway = prometheus, gateway
        self._since = time.time()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that tell a launcher about the gateway."""
        return {"PEERKD_PUSHGATEWAY": f"http://{self.gateway}"} if self.gateway else {}

    def plot(self, text: str) -> list[dict[str, Any]]:
        """Return the series that a panel would show from the start until now."""
        times = {"start": f"{self._since:.0f}", "end": f"{time.time():.0f}", "step": "1"}
        found: list[dict[str, Any]] = self.prometheus.get("/api/v1/query_range", query=text, **times)["result"]
        return found

    def value(self, text: str) -> float:
        """Return the single current value of an expression."""
        (found,) = wait_until(lambda: self.prometheus.query(text), seconds=PATIENCE_SECONDS, what=text)
        return float(found["value"][1])

    def firing(self, pod: str) -> list[dict[str, Any]]:
        """Return the current alerts about a pod."""
        alerts = self.prometheus.get("/api/v1/alerts")["alerts"]
        return [each for each in alerts if each["state"] == "firing" and each["labels"].get("pod") == pod]


@contextlib.contextmanager
def discovery(folder: Path) -> Iterator[None]:
    """Update the file of the pods that Prometheus would discover by the selector of the shipped configuration."""
    (worker, _) = load_yaml("prometheus.yaml")["scrape_configs"]
    selector = worker["kubernetes_sd_configs"][0]["selectors"][0]["label"]
    nodes = items("nodes", namespace=NAMESPACE)
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(1):
            # The next attempt may succeed.
            with contextlib.suppress(KubectlError, subprocess.TimeoutExpired):
                targets = pod_targets(items("pods", namespace=NAMESPACE, labels=selector), nodes)
                (folder / "found").write_text(json.dumps(targets), encoding="utf-8")
                (folder / "found").replace(folder / f"{worker['job_name']}.json")

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        is_over.set()
        looking.join()


def require_reachable_pods() -> None:
    """Skip the test unless this machine can connect to the pod of the store, which is known to listen."""
    (store,) = [pod for pod in items("pods", namespace=NAMESPACE) if name(pod).startswith("minio-")]
    address = store["status"]["podIP"]
    try:
        socket.create_connection((address, 9000), timeout=5).close()
    except OSError as error:
        pytest.skip(f"pods cannot be reached from this machine: {address}: {error}")


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """The address of a real Pushgateway, or an empty string if none is installed."""
    program = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")
    if program is None:
        yield ""
        return
    address = f"127.0.0.1:{free_port()}"
    # Debian's Pushgateway stores summaries on disk, where the next test would find them.
    command = [program, f"--web.listen-address={address}", "--persistence.file="]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        try:
            wait_until(lambda: Prometheus(address).is_ready, seconds=PATIENCE_SECONDS, what="the Pushgateway is ready")
            yield address
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def watch(site: Site, gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no Prometheus here; Debian has it in the package prometheus")
    require_reachable_pods()
    folder = tmp_path_factory.mktemp("prometheus")
    text = (FOLDER / "rules.yaml").read_text(encoding="utf-8")
    (folder / "rules.yaml").write_text(quickened(text, stall_seconds=STALL_SECONDS), encoding="utf-8")
    pushed = {"targets": [gateway], "labels": {"__meta_kubernetes_endpoint_port_name": "http"}}
    config = write(
        folder,
        with_files(load_yaml("prometheus.yaml"), folder, interval="1s"),
        {"peerkd-worker": [], "peerkd-pushgateway": [pushed] if gateway else []},
    )
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log) as running,
    ):
        made = Prometheus(address)
        try:
            wait_until(lambda: made.is_ready, seconds=PATIENCE_SECONDS, what="Prometheus is ready")
            with discovery(folder):
                yield Watch(made, gateway=gateway)
        finally:
            running.terminate()


@pytest.fixture(scope="class")
def sweep(site: Site, watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    study = Study(
        site,
        tmp_path_factory.mktemp("sweep"),
        overrides=LONG,
        workers=1,
        settings=WORKER,
        environment=watch.environment,
    )
    started = Running(study)

    def is_under_way() -> bool:
        assert started.process.poll() is None, started.printed
        return bool(watch.prometheus.query('peerkd_trials_total{stage="distill_pairs"} > 3'))

    try:
        wait_until(is_under_way, seconds=PATIENCE * 420, what="some trials are scraped")
        yield started
    finally:
        if started.process.poll() is None:
            started.process.send_signal(signal.SIGINT)
            started.end(seconds=60)


@pytest.fixture(scope="class")
def pod(sweep: Running) -> dict[str, Any]:
    (job,) = unfinished()
    (found,) = items("pods", namespace=NAMESPACE, labels=f"{KIND.job_label}={name(job)}")
    return found


@pytest.fixture(scope="class")
def ended(site: Site, watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> str:
    study = Study(
        site,
        tmp_path_factory.mktemp("pcl"),
        overrides=COLLABORATION,
        workers=1,
        settings=WORKER,
        pipeline="pcl",
        environment=watch.environment,
    )
    done = study.run()
    assert done.returncode == 0, done.stdout
    return done.stdout


class TestSweep:
    """A running sweep. Panels also show the stage before it, because they show the past."""

    @pytest.fixture(autouse=True)
    def _still_running(self, sweep: Running) -> None:
        assert sweep.process.poll() is None, sweep.printed

    def test_the_pod_is_a_target_with_the_labels_that_the_rules_need(self, watch: Watch, pod: dict[str, Any]) -> None:
        (up,) = watch.prometheus.query(f'up{{job="peerkd-worker", pod="{name(pod)}"}} == 1')
        labels = up["metric"]
        assert (labels["namespace"], labels["pod"], labels["instance"]) == (NAMESPACE, name(pod), name(pod))

    @pytest.mark.parametrize("query", OF_SWEEP, ids=lambda query: f"{query.dashboard}: {query.panel}")
    def test_every_panel_has_data(self, watch: Watch, query: Query) -> None:
        wait_until(lambda: watch.plot(filled_in(query.text)), seconds=PATIENCE_SECONDS, what=query.text)

    @pytest.mark.parametrize("record", RECORDED)
    def test_every_recording_rule_has_data(self, watch: Watch, record: str) -> None:
        wait_until(lambda: watch.plot(record), seconds=PATIENCE_SECONDS, what=record)

    def test_every_rule_can_be_evaluated(self, watch: Watch) -> None:
        def evaluated() -> list[dict[str, Any]]:
            found = [rule for group in watch.prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]
            assert [rule["lastError"] for rule in found if rule.get("lastError")] == []
            return found

        wait_until(
            lambda: {rule["health"] for rule in evaluated()} == {"ok"}, seconds=PATIENCE_SECONDS, what="a look at each"
        )
        assert len(evaluated()) == len(rules())

    def test_the_metrics_match_the_sweep(self, watch: Watch, pod: dict[str, Any]) -> None:
        of_pod = f'{{pod="{name(pod)}"}}'
        total = watch.value(f"peerkd_trials_done{of_pod} + peerkd_trials_left{of_pod}")
        config = load(JOINTKD, preset="digits", config_file=None, overrides=LONG)
        assert total == whole_plan(config).num_trials
        done = watch.value(f"peerkd_trials_done{of_pod}")
        grown = f"peerkd_trials_done{of_pod} > {done}"
        wait_until(lambda: watch.prometheus.query(grown), seconds=PATIENCE_SECONDS, what=grown)
        assert watch.value(f"peerkd_trials_done{of_pod} + peerkd_trials_left{of_pod}") == total
        # The rule is evaluated a moment after the scrape.
        moving = 'stage:peerkd_samples:rate5m{stage="distill_pairs"} > 0'
        wait_until(lambda: watch.prometheus.query(moving), seconds=PATIENCE_SECONDS, what=moving)
        assert 0 <= watch.value('worker:peerkd_progress_age_seconds:now{stage="distill_pairs"}') < PATIENCE_SECONDS
        assert 0 <= watch.value('worker:peerkd_checkpoint_age_seconds:now{stage="distill_pairs"}') < PATIENCE_SECONDS

    def test_the_choice_of_a_run_filters_every_panel(self, watch: Watch, pod: dict[str, Any]) -> None:
        runs = watch.prometheus.get("/api/v1/label/run/values", **{"match[]": "peerkd_worker_info"})
        run = pod["metadata"]["labels"]["peerkd.io/run"]
        assert run in runs
        (query,) = [each.text for each in OF_SWEEP if (each.dashboard, each.panel) == ("study", "Trials done")]
        (found,) = watch.prometheus.query(query.replace("$run", run))
        assert found["metric"] == {"run": run, "stage": "distill_pairs"}
        assert watch.prometheus.query(query.replace("$run", "another")) == []

    def test_a_stalled_worker_raises_an_alert_until_it_continues(self, watch: Watch, pod: dict[str, Any]) -> None:
        wait_until(lambda: not watch.firing(name(pod)), seconds=PATIENCE_SECONDS, what="no alert")
        send(pod, signal.SIGSTOP)
        try:
            (alert,) = wait_until(lambda: watch.firing(name(pod)), seconds=PATIENCE_SECONDS, what="an alert")
            done = watch.value(f'peerkd_trials_total{{pod="{name(pod)}"}}')
        finally:
            send(pod, signal.SIGCONT)
        labels = alert["labels"]
        assert (labels["alertname"], labels["severity"]) == ("PeerkdWorkerStalled", "critical")
        assert (labels["namespace"], labels["pod"], labels["stage"]) == (NAMESPACE, name(pod), "distill_pairs")
        assert labels["run"] == pod["metadata"]["labels"]["peerkd.io/run"]
        assert alert["annotations"]["summary"].startswith(f"{name(pod)} has made no progress for ")
        wait_until(lambda: not watch.firing(name(pod)), seconds=PATIENCE_SECONDS, what="no alert any more")
        assert watch.value(f'peerkd_trials_total{{pod="{name(pod)}"}}') > done

    def test_an_interrupted_launcher_pushes_no_summary_of_its_deleted_job(self, watch: Watch, sweep: Running) -> None:
        """The summary of the previous stage exists. This test is the last one, because it ends the study."""
        if not watch.gateway:
            pytest.skip("there is no Pushgateway here; Debian has it in the package prometheus-pushgateway")
        sweep.process.send_signal(signal.SIGINT)
        sweep.end(seconds=60)
        assert [group["stage"] for group in pushed_groups(watch.gateway)] == ["pretrain_peers"]


class TestCollaboration:
    """A comparison of methods, observed after its end."""

    @pytest.mark.usefixtures("ended")
    @pytest.mark.parametrize("query", OF_PCL, ids=lambda query: f"{query.dashboard}: {query.panel}")
    def test_every_panel_has_data(self, watch: Watch, query: Query) -> None:
        found = watch.plot(filled_in(query.text))
        assert [each for each in found if each["metric"].get("stage") == "train_pcl"]

    @pytest.mark.usefixtures("ended")
    def test_losses_are_shown_by_part_and_accuracies_by_split(self, watch: Watch) -> None:
        parts = {each["metric"]["part"] for each in watch.plot("peerkd_loss")}
        assert "loss" in parts
        assert len(parts) > 2
        shares = {each["metric"]["split"]: each["values"][-1][1] for each in watch.plot("peerkd_accuracy_ratio")}
        assert shares.keys() == {"validation", "test"}
        assert all(0 < float(share) <= 1 for share in shares.values())

    @pytest.mark.usefixtures("ended")
    def test_the_launcher_has_pushed_a_summary(self, watch: Watch) -> None:
        if not watch.gateway:
            pytest.skip("there is no Pushgateway here; Debian has it in the package prometheus-pushgateway")
        (run,) = {each["metric"]["run"] for each in watch.plot('peerkd_worker_info{stage="train_pcl"}')}
        assert [group["run"] for group in pushed_groups(watch.gateway) if group["stage"] == "train_pcl"] == [run]
        of_job = f'{{run="{run}", stage="train_pcl"}}'
        assert watch.value(f"peerkd_job_success{of_job}") == 1
        assert watch.value(f"peerkd_job_attempts{of_job}") == 1
        seconds = watch.value(f"peerkd_job_run_seconds{of_job}")
        assert seconds > 0
        assert watch.value(f"peerkd_job_cost{of_job}") == pytest.approx(seconds)

    @pytest.mark.usefixtures("ended")
    @pytest.mark.parametrize("query", OF_SUMMARIES, ids=lambda query: " ".join(sorted(metric_names(query.text))))
    def test_every_panel_shows_the_ended_job(self, watch: Watch, query: Query) -> None:
        if not watch.gateway:
            pytest.skip("there is no Pushgateway here; Debian has it in the package prometheus-pushgateway")
        found = wait_until(
            lambda: watch.prometheus.query(filled_in(query.text)), seconds=PATIENCE_SECONDS, what=query.text
        )
        assert "train_pcl" in {each["metric"]["stage"] for each in found}


def send(pod: dict[str, Any], number: signal.Signals) -> None:
    """Send a signal to all processes of a worker except the first one, which serves the metrics."""
    program = (
        "import contextlib, os, sys\n"
        "for each in os.listdir('/proc'):\n"
        "    if each.isdigit() and int(each) not in (1, os.getpid()):\n"
        "        with contextlib.suppress(ProcessLookupError):\n"
        "            os.kill(int(each), int(sys.argv[1]))\n"
    )
    kubectl("exec", name(pod), "-n", NAMESPACE, "--", "python", "-c", program, str(int(number)))


def pushed_groups(gateway: str) -> list[dict[str, str]]:
    """Return the labels of all summaries at a Pushgateway."""
    with urllib.request.urlopen(f"http://{gateway}/api/v1/metrics", timeout=10) as answer:
        return [group["labels"] for group in json.load(answer)["data"]]
