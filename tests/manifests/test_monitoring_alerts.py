"""Every alert fires when it should, and only then, according to the test tool of Prometheus."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.manifests.monitoring import FOLDER, alerts, load_yaml

POD = 'namespace="peerkd",pod="job-worker-1",instance="job-worker-1",job="peerkd-worker"'
WORKER = f'{POD},stage="distill_pairs",worker="1"'
INFO = {f'peerkd_worker_info{{{WORKER},run="r1",architecture="lenet"}}': "1x240"}
OF_WORKER = {
    "namespace": "peerkd",
    "pod": "job-worker-1",
    "instance": "job-worker-1",
    "job": "peerkd-worker",
    "stage": "distill_pairs",
    "worker": "1",
    "run": "r1",
}
OF_GPU = {"namespace": "peerkd", "pod": "job-worker-1", "gpu": "3", "run": "r1"}


def dcgm(metric: str, values: str, *, honoured: bool = False, pod: str = "job-worker-1") -> dict[str, str]:
    """Return a metric of the GPU of a pod as scraped with or without honouring the labels of the exporter."""
    if honoured:
        labels = f'namespace="peerkd",pod="{pod}",container="pytorch"'
    else:
        labels = (
            f'exported_namespace="peerkd",exported_pod="{pod}",exported_container="pytorch",'
            'namespace="gpu-operator",pod="dcgm-exporter-x"'
        )
    return {f'{metric}{{{labels},gpu="3",UUID="GPU-1"}}': values}


class Case(NamedTuple):
    """Series with a value per minute, and the labels of the alert at a time. No labels: no alert."""

    alert: str
    title: str
    series: Mapping[str, str]
    at: str
    labels: Mapping[str, str] | None = None
    summary: str = ""


LAST = f"peerkd_last_progress_timestamp_seconds{{{WORKER}}}"
SAVED = f"peerkd_checkpoint_timestamp_seconds{{{WORKER}}}"
START = f"peerkd_worker_start_time_seconds{{{WORKER}}}"
WAITING = f"peerkd_worker_waiting{{{WORKER}}}"
DIVERGED = f"peerkd_diverged_total{{{WORKER}}}"
STORE = f"peerkd_store_errors_total{{{WORKER}}}"
PENDING = 'kueue_pending_workloads{cluster_queue="vision",status="active"}'
ADMITTED = 'kueue_admitted_workloads_total{cluster_queue="vision",priority_class="normal"}'
OURS = {
    'kueue_cluster_queue_info{cluster_queue="vision",parent_cohort="gpu-pools",root_cohort="gpu-pools"}': "1x240",
    'kueue_cluster_queue_info{cluster_queue="peerkd",parent_cohort="gpu-pools",root_cohort="gpu-pools"}': "1x240",
    'kueue_cluster_queue_info{cluster_queue="other",parent_cohort="",root_cohort=""}': "1x240",
}
WAITS = 'kueue_admission_wait_time_seconds_bucket{{cluster_queue="{}",priority_class="normal",le="{}"}}'
RESTARTED = 'training_operator_jobs_restarted_total{{job_namespace="peerkd",framework="{}"}}'
TRAINJOB = 'namespace="peerkd",job_name="peerkd-train-pcl-0123456789-node-0"'
REAPER = 'kube_deployment_status_replicas_available{namespace="peerkd",deployment="peerkd-reaper"}'
PUSHED = 'push_time_seconds{{job="{}",run="r1",stage="train_pcl"}}'


def pods_of_job(num_pods: int, *, num_workers: int) -> dict[str, str]:
    """Return the series of a TrainJob's pods, each of which exists for two minutes."""
    series = {f"kube_job_spec_completions{{{TRAINJOB}}}": f"{num_workers}x60"}
    for number in range(num_pods):
        owner = 'owner_kind="Job",owner_name="peerkd-train-pcl-0123456789-node-0"'
        series[f'kube_pod_owner{{namespace="peerkd",pod="pod-{number}",{owner}}}'] = (
            f"_x{2 * number} 1x2" if number else "1x2"
        )
    return series


def replaced(num_pods: int) -> dict[str, str]:
    """Return the series of a worker whose pods have different names, each of which lives for ten minutes."""
    series = {}
    for number in range(num_pods):
        labels = WORKER.replace("job-worker-1", f"job-node-0-1-{number}")
        values = f"_x{10 * number} 1x9" if number else "1x9"
        series[f'peerkd_worker_info{{{labels},run="r1",architecture="lenet"}}'] = values
        series[f"peerkd_worker_start_time_seconds{{{labels}}}"] = values
    return series


def waits(queue: str, *, within_an_hour: int, longer: int) -> dict[str, str]:
    """Return the numbers of admissions per minute by waiting time."""
    return {
        **OURS,
        WAITS.format(queue, "2560"): f"0+{within_an_hour}x120",
        WAITS.format(queue, "5120"): f"0+{within_an_hour + longer}x120",
        WAITS.format(queue, "+Inf"): f"0+{within_an_hour + longer}x120",
    }


CASES = (
    Case(
        "PeerkdWorkerStalled",
        "a worker whose last progress was at the start",
        {**INFO, LAST: "0x240", WAITING: "0x240"},
        "17m",
        OF_WORKER,
        "job-worker-1 has made no progress for 17m 0s.",
    ),
    Case("PeerkdWorkerStalled", "not yet", {**INFO, LAST: "0x240"}, "15m"),
    Case("PeerkdWorkerStalled", "a worker that goes on every ten minutes", {**INFO, LAST: "0x9 600x9 1200x20"}, "30m"),
    Case("PeerkdWorkerStalled", "a worker that waits for others", {**INFO, LAST: "0x240", WAITING: "1x240"}, "60m"),
    Case("PeerkdWorkerStalled", "a worker that has ended", {**INFO, LAST: "0x12 stale"}, "60m"),
    Case(
        "PeerkdWorkerUnreachable",
        "an endpoint that does not answer",
        {f"up{{{POD}}}": "1 0x30"},
        "7m",
        {key: value for key, value in OF_WORKER.items() if key in ("namespace", "pod", "instance", "job")},
        "The metrics of job-worker-1 cannot be scraped.",
    ),
    Case("PeerkdWorkerUnreachable", "one scrape that failed", {f"up{{{POD}}}": "1 0 1x30"}, "7m"),
    Case("PeerkdWorkerUnreachable", "somebody else's endpoint", {'up{job="node",instance="a"}': "0x30"}, "20m"),
    Case(
        "PeerkdCheckpointOld",
        "a worker that works and saves nothing",
        {**INFO, SAVED: "0x240", LAST: "0+60x240"},
        "66m",
        OF_WORKER,
        "job-worker-1 has saved nothing for 1h 6m 0s.",
    ),
    Case("PeerkdCheckpointOld", "a worker that saves", {**INFO, SAVED: "0+60x240", LAST: "0+60x240"}, "66m"),
    Case("PeerkdCheckpointOld", "a worker that is stalled", {**INFO, SAVED: "0x240", LAST: "0x240"}, "66m"),
    Case(
        "PeerkdRestartStorm",
        "three restarts within an hour",
        {**INFO, START: "1x9 600x9 1200x9 1800x60"},
        "40m",
        OF_WORKER,
        "job-worker-1 has restarted 3 times within an hour.",
    ),
    Case("PeerkdRestartStorm", "two restarts", {**INFO, START: "1x9 600x9 1200x60"}, "40m"),
    Case(
        "PeerkdRestartStorm",
        "three pods that replaced a worker's pod within an hour",
        replaced(4),
        "40m",
        {"namespace": "peerkd", "stage": "distill_pairs", "worker": "1", "run": "r1"},
        "Worker 1 has restarted 3 times within an hour.",
    ),
    Case("PeerkdRestartStorm", "two pods that replaced a worker's pod", replaced(3), "40m"),
    Case("PeerkdRestartStorm", "replacements of long ago", replaced(4), "120m"),
    Case("PeerkdRestartStorm", "restarts of long ago", {**INFO, START: "1x9 600x9 1200x9 1800x200"}, "120m"),
    Case(
        "PeerkdJobsRestartStorm",
        "a restart a minute",
        {RESTARTED.format("pytorch"): "0+1x120"},
        "60m",
        {"job_namespace": "peerkd"},
        "Jobs in peerkd were restarted 60 times within an hour.",
    ),
    Case(
        "PeerkdJobsRestartStorm",
        "restarts of TrainJobs and of PyTorchJobs together",
        {RESTARTED.format("pytorch"): "0+0.1x120", **pods_of_job(10, num_workers=2)},
        "60m",
        {"job_namespace": "peerkd"},
        "Jobs in peerkd were restarted 14 times within an hour.",
    ),
    Case("PeerkdJobsRestartStorm", "many workers", pods_of_job(20, num_workers=20), "60m"),
    Case("PeerkdJobsRestartStorm", "restarted TrainJobs of long ago", pods_of_job(20, num_workers=2), "3h"),
    Case("PeerkdJobsRestartStorm", "a restart in ten minutes", {RESTARTED.format("pytorch"): "0x60 6x60"}, "70m"),
    Case("PeerkdJobsRestartStorm", "somebody else's jobs", {RESTARTED.format("tensorflow"): "0+1x120"}, "60m"),
    Case(
        "PeerkdQueueWaitLong",
        "one in five waited for more than an hour",
        waits("vision", within_an_hour=8, longer=2),
        "90m",
        {"cluster_queue": "vision"},
        "Jobs in queue vision waited up to 1h 4m 0s.",
    ),
    Case("PeerkdQueueWaitLong", "short waits", waits("vision", within_an_hour=10, longer=0), "90m"),
    Case("PeerkdQueueWaitLong", "somebody else's queue", waits("other", within_an_hour=0, longer=2), "90m"),
    Case(
        "PeerkdQueueStuck",
        "jobs that wait while none is admitted",
        {**OURS, PENDING: "3x240", ADMITTED: "7x240"},
        "61m",
        {"cluster_queue": "vision"},
        "3 jobs wait in queue vision and none was admitted for an hour.",
    ),
    Case(
        "PeerkdQueueStuck",
        "jobs that wait while others are admitted",
        {**OURS, PENDING: "3x240", ADMITTED: "0+1x240"},
        "3h",
    ),
    Case(
        "PeerkdQueueStuck",
        "a queue of our name in no cohort",
        {PENDING.replace("vision", "peerkd"): "3x240"},
        "61m",
        {"cluster_queue": "peerkd"},
        "3 jobs wait in queue peerkd and none was admitted for an hour.",
    ),
    Case("PeerkdQueueStuck", "somebody else's queue", {**OURS, PENDING.replace("vision", "other"): "3x240"}, "3h"),
    Case("PeerkdQueueStuck", "an empty queue", {**OURS, PENDING: "0x240", ADMITTED: "7x240"}, "3h"),
    Case(
        "PeerkdQueueStuck",
        "a queue that has never admitted anything",
        {**OURS, PENDING: "1x240"},
        "61m",
        {"cluster_queue": "vision"},
        "1 jobs wait in queue vision and none was admitted for an hour.",
    ),
    Case(
        "PeerkdGpuIdle",
        "a GPU that a worker holds and hardly uses",
        {**INFO, **dcgm("DCGM_FI_DEV_GPU_UTIL", "2x120")},
        "16m",
        OF_GPU,
        "job-worker-1 uses 2% of its GPU 3.",
    ),
    Case(
        "PeerkdGpuIdle",
        "the same with the exporter's labels honoured",
        {**INFO, **dcgm("DCGM_FI_DEV_GPU_UTIL", "2x120", honoured=True)},
        "16m",
        OF_GPU,
        "job-worker-1 uses 2% of its GPU 3.",
    ),
    Case("PeerkdGpuIdle", "a busy GPU", {**INFO, **dcgm("DCGM_FI_DEV_GPU_UTIL", "80x120")}, "60m"),
    Case(
        "PeerkdGpuIdle", "idle for ten minutes only", {**INFO, **dcgm("DCGM_FI_DEV_GPU_UTIL", "80x30 0x9 80x60")}, "40m"
    ),
    Case("PeerkdGpuIdle", "somebody else's GPU", {**INFO, **dcgm("DCGM_FI_DEV_GPU_UTIL", "0x120", pod="x")}, "60m"),
    Case(
        "PeerkdGpuError",
        "an error that the driver saw",
        {**INFO, **dcgm("DCGM_FI_DEV_XID_ERRORS", "0x5 79x20")},
        "8m",
        OF_GPU,
        "GPU 3 of job-worker-1 reported XID 79.",
    ),
    Case("PeerkdGpuError", "no error", {**INFO, **dcgm("DCGM_FI_DEV_XID_ERRORS", "0x20")}, "8m"),
    Case(
        "PeerkdStoreErrors",
        "two a minute",
        {**INFO, STORE: "0+2x60"},
        "12m",
        {"namespace": "peerkd", "run": "r1", "stage": "distill_pairs"},
        "20 requests to the store failed within ten minutes.",
    ),
    Case("PeerkdStoreErrors", "a few", {**INFO, STORE: "0x5 4x60"}, "12m"),
    Case(
        "PeerkdTrainingsDiverge",
        "one a minute",
        {**INFO, DIVERGED: "0+1x90"},
        "70m",
        {"namespace": "peerkd", "run": "r1", "stage": "distill_pairs"},
        "60 trainings diverged within an hour.",
    ),
    Case("PeerkdTrainingsDiverge", "a few", {**INFO, DIVERGED: "0x5 8x80"}, "70m"),
    Case(
        "PeerkdReaperDown",
        "no reaper",
        {REAPER: "1 0x30"},
        "7m",
        {"namespace": "peerkd", "deployment": "peerkd-reaper"},
        "The reaper in peerkd does not run.",
    ),
    Case("PeerkdReaperDown", "a reaper", {REAPER: "1x30"}, "7m"),
    Case("PeerkdReaperDown", "a reaper that is made anew", {REAPER: "1 0x3 1x30"}, "7m"),
    Case(
        "PeerkdSummariesNotDeleted",
        "a summary of long ago",
        {PUSHED.format("peerkd"): "0x120"},
        "75m",
        {},
        "1 summaries have been at the Pushgateway for more than an hour.",
    ),
    Case("PeerkdSummariesNotDeleted", "a young summary", {PUSHED.format("peerkd"): "3600x120"}, "75m"),
    Case("PeerkdSummariesNotDeleted", "somebody else's push", {PUSHED.format("backup"): "0x120"}, "75m"),
)


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool here; Debian has it in the package prometheus")
    return found


def test_every_alert_has_a_case_that_raises_it_and_one_that_does_not() -> None:
    raised = {(case.alert, case.labels is not None) for case in CASES}
    assert raised == {(name, whether) for name in alerts() for whether in (True, False)}


def test_the_rules_are_valid(promtool: str) -> None:
    call([promtool, "check", "rules", "--lint=all", "--lint-fatal", str(FOLDER / "rules.yaml")])


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_raised_exactly_when_it_should_be(alert: str, promtool: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert]
    # No alert depends on another one, and the series have a value per minute. The tool needs seconds for more.
    rules = load_yaml("rules.yaml")
    for group in rules["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") in (None, alert)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    path = write([as_test(case) for case in cases], tmp_path, rules=tmp_path / "rules.yaml", interval="1m")
    call([promtool, "test", "rules", str(path)])


def test_the_check_finds_an_alert_that_should_not_be_raised(promtool: str, tmp_path: Path) -> None:
    wrong = CASES[0]._replace(labels=None)
    with pytest.raises(AssertionError, match="PeerkdWorkerStalled"):
        call([promtool, "test", "rules", str(write([as_test(wrong)], tmp_path))])


def test_cost_follows_from_gpus_pool_and_price(promtool: str, tmp_path: Path) -> None:
    """Series of four GPUs for an hour in each of two pools and outside any pool."""
    series = dict(INFO)
    for pool, pod in (("spot", "job-worker-1"), ("on-demand", "b"), ("", "c"), ("unknown", "d")):
        labels = f'namespace="peerkd",pod="{pod}",instance="{pod}",stage="distill_pairs",worker="1",pool="{pool}"'
        series[f"peerkd_worker_gpus{{{labels}}}"] = "4x60"
        series[f'peerkd_worker_info{{{labels},run="{pod}",architecture=""}}'] = "1x60"
    del series[next(iter(INFO))]
    expected = {"job-worker-1": 4 * 0.90, "b": 4 * 2.50, "c": 4 * 2.50, "d": 4 * 2.50}
    check = {
        "expr": "round(sum by (run) (sum_over_time(run:peerkd_cost:interval[3599s])), 0.1)",
        "eval_time": "1h",
        "exp_samples": [{"labels": f'{{run="{run}"}}', "value": round(cost, 1)} for run, cost in expected.items()],
    }
    path = write([{"input_series": as_input(series), "promql_expr_test": [check]}], tmp_path)
    call([promtool, "test", "rules", str(path)])


def as_test(case: Case) -> dict[str, Any]:
    raised = []
    if case.labels is not None:
        alert = alerts()[case.alert]
        annotations = {
            "summary": case.summary,
            "description": with_labels(alert["annotations"]["description"], case.labels),
            "runbook_url": alert["annotations"]["runbook_url"],
        }
        raised.append({"exp_labels": {**case.labels, **alert["labels"]}, "exp_annotations": annotations})
    check = {"alertname": case.alert, "eval_time": case.at, "exp_alerts": raised}
    return {"name": case.title, "input_series": as_input(case.series), "alert_rule_test": [check]}


def write(
    tests: list[dict[str, Any]], folder: Path, *, rules: Path = FOLDER / "rules.yaml", interval: str = "30s"
) -> Path:
    suite = {
        "rule_files": [str(rules)],
        "evaluation_interval": interval,
        # Otherwise the tool evaluates groups in any order. An alert uses values that are recorded at the same time.
        "group_eval_order": [group["name"] for group in load_yaml("rules.yaml")["groups"]],
        "tests": [{"interval": "1m", **test} for test in tests],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    return path


def as_input(series: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def with_labels(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)


def call(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
