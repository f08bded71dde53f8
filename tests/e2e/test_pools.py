"""Pools of GPU nodes: 100 simulated nodes of 8 GPUs, the shipped flavours and queues, and 300 jobs of three teams.

The tests need Kueue in the cluster, and the command that PEERKD_E2E_GPU_POOL names (``pools.COMMAND_VARIABLE``). They
restart Kueue with the shipped settings and shorter times, and finally restore its settings.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.kinds.kind import JobStatus
from peerkd.launch.kubernetes.names import LABEL_JOB_OF_WORKLOAD, LABEL_REQUEUED
from tests.e2e import gpu_study, pools
from tests.e2e import kubectl as kube
from tests.e2e.gpu_study import NUM_HELD, NUM_JOBS, OTHER, OWN, Record
from tests.e2e.kind import KIND, RESOURCE
from tests.e2e.ledger import breaches
from tests.e2e.pools import Share

KUEUE = "kueue-system"
INDEX_OF_SENT_BACK, INDEX_OF_STRANDED = 9000, 9001
SETTINGS, SETTINGS_FILE = "kueue-manager-config", "controller_manager_config.yaml"


@pytest.fixture(scope="module")
def kueue() -> Iterator[None]:
    """Kueue with the shipped settings, except for times that are too long for a test."""
    if reason := pools.missing():
        pytest.skip(reason)
    before = kube.get("configmap", SETTINGS, namespace=KUEUE)
    assert before is not None
    pools.remove()
    if kube.kubectl("get", "nodes", "-l", "peerkd.io/pool", "-o", "name"):
        pytest.skip("the cluster has pools of its own")
    try:
        configure({**before["data"], SETTINGS_FILE: settings(recovery="10s")})
        yield
        pools.remove()
    finally:
        configure(before["data"])


@pytest.fixture
def patient_kueue(kueue: None) -> None:
    """Kueue with settings that never requeue a job without a node."""
    configure({SETTINGS_FILE: settings(recovery="1h")})


def settings(*, recovery: str) -> str:
    """Return the shipped settings of Kueue with short times."""
    shipped = yaml.safe_load((pools.ROOT / "manifests/third-party/kueue/settings.yaml").read_text(encoding="utf-8"))
    changed = yaml.safe_load(shipped["data"][SETTINGS_FILE])
    changed["waitForPodsReady"] |= {"timeout": "120s", "recoveryTimeout": recovery}
    changed["waitForPodsReady"]["requeuingStrategy"] |= {"backoffBaseSeconds": 1, "backoffMaxSeconds": 5}
    return yaml.safe_dump(changed)


@pytest.fixture(scope="module")
def record(kueue: None, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The measurements of the whole study."""
    objects = pools.queues(tmp_path_factory.mktemp("overlay"))
    kube.apply(*pools.namespaces())
    kube.wait_until(lambda: pools.are_taken(objects), seconds=120, what="Kueue's webhooks, which come up after its pod")
    pools.size("on-demand", pools.NODES["on-demand"])
    made = gpu_study.run_study(pools.shares_of(objects))
    report = summary(made)
    file: Path = tmp_path_factory.mktemp("gpu-pools") / "summary.json"
    file.write_text(json.dumps(report, indent=2), encoding="utf-8")
    sys.stdout.write(f"\n{file}\n{json.dumps(report, indent=2)}\n")
    return made


def configure(data: dict[str, str]) -> None:
    """Restart Kueue with other settings."""
    kube.kubectl("patch", "configmap", SETTINGS, "-n", KUEUE, "--type=merge", "-p", json.dumps({"data": data}))
    kube.kubectl("rollout", "restart", "deployment/kueue-controller-manager", "-n", KUEUE)
    kube.kubectl(
        "rollout", "status", "deployment/kueue-controller-manager", "-n", KUEUE, "--timeout=120s", timeout_seconds=150
    )


def status_of(name: str, namespace: str) -> JobStatus:
    """Return the status of a job."""
    job = kube.get(RESOURCE, name, namespace=namespace)
    assert job is not None
    return KIND.read_status(job)


def is_at_work(name: str, namespace: str) -> bool:
    """Return whether the controller of a job reports that the job runs."""
    return status_of(name, namespace).is_running


def uid_of(name: str, namespace: str) -> str:
    """Return the uid of a job."""
    job = kube.get(RESOURCE, name, namespace=namespace)
    assert job is not None
    return str(job["metadata"]["uid"])


def summary(record: Record) -> dict[str, Any]:
    """Return the measurements as text."""
    ledger = record.ledger
    assert ledger
    ended = gpu_study.pools_of_ended_pods()
    return {
        "jobs": NUM_JOBS,
        "seconds": record.seconds,
        "admissions": sum(len(each.admissions) for each in ledger.entries.values()),
        "admissions_per_second": {
            "mean": sum(len(each.admissions) for each in ledger.entries.values()) / record.seconds,
            "best_10_s": gpu_study.admission_rate(ledger, within_seconds=10),
        },
        "evictions": {
            reason: ledger.num_evicted(reason)
            for reason in sorted({why for each in ledger.entries.values() for _, why in each.evictions})
        },
        "most_gpus": {" ".join(pair): gpus for pair, gpus in sorted(ledger.most.items())},
        "workload_changes_checked": ledger.num_changes,
        "ended_pods": {f"{chosen} on {node}": number for (chosen, node), number in ended.items()},
        "empty_pool": {"admitted": record.num_admitted_without_nodes, "grown_at": record.grown_at},
        "borrowing": {"gpus": record.borrowed, "back_at": record.back_at, "reclaim_seconds": record.reclaim_seconds},
        "priority": {"seconds": record.urgent_seconds, "overtaken": record.num_overtaken},
        "lost_pool": {
            "jobs": len(record.lost),
            "lost_at": record.lost_at,
            "sent_back_by_kueue": record.num_sent_back_by_kueue,
            "sent_back_by_reaper": record.num_sent_back_by_reaper,
            "sent_back_seconds": record.sent_back_seconds,
            "returned_at": record.returned_at,
        },
        "controllers": record.footprints,
        "launcher": {**record.launcher, "notice_seconds": notice_seconds(record)},
        "reaper": record.reaper,
    }


def notice_seconds(record: Record) -> float:
    """Return the seconds from the end of its job to the end of the launcher."""
    assert record.ledger
    return float(record.launcher["ended"] - record.ledger.succeeded[record.launcher["job"]])


def test_quotas_hold_after_every_change(record: Record) -> None:
    assert record.ledger
    assert record.ledger.troubles == []
    assert record.ledger.num_changes > 3 * NUM_JOBS
    assert record.ledger.breaches == []


def test_an_empty_pool_that_grows_is_used(record: Record) -> None:
    assert record.ledger
    assert record.num_admitted_without_nodes > 0
    straight = [
        each
        for each in record.ledger.entries.values()
        if each.job in record.first and each.finished and [flavor for _, flavor in each.admissions] == ["peerkd-spot"]
    ]
    assert straight


def test_an_idle_share_is_lent_and_returned(record: Record) -> None:
    assert record.ledger
    assert record.borrowed > 0
    # These evictions made room for the owner of the share, who may itself have borrowed from the other pool.
    start, end = record.begun + record.back_at, record.begun + record.back_at + record.reclaim_seconds
    reclaimed = [
        each.queue
        for each in record.ledger.entries.values()
        if any(start < when <= end and why == "Preempted/InCohortReclamation" for when, why in each.evictions)
    ]
    assert {OWN, OTHER} & set(reclaimed)


def test_urgent_jobs_are_admitted_first(record: Record) -> None:
    assert record.num_overtaken > 0
    assert record.urgent_seconds < 30


def test_jobs_of_a_lost_pool_are_requeued_and_finish(record: Record) -> None:
    assert record.ledger
    lost = [each for each in record.ledger.entries.values() if each.workload in record.lost]
    lost_at = record.begun + record.lost_at
    again = [each for each in lost if any(when > lost_at for when, _ in each.evictions)]
    ended_at_the_last_moment = [each for each in lost if each not in again]
    assert all(each.finished for each in lost)
    # Some jobs ended before their pods were deleted. None held its share while it waited for new nodes.
    returned = record.begun + record.returned_at
    assert all(each.finished is not None and each.finished < returned for each in ended_at_the_last_moment)
    assert "peerkd-on-demand" in {each.admissions[-1][1] for each in again}


def test_all_jobs_finish_in_the_pool_that_admitted_them(record: Record) -> None:
    assert record.ledger
    assert record.ledger.failed == {}
    assert len(record.ledger.succeeded) == NUM_JOBS
    # The pods of the lost nodes have been deleted.
    ended = gpu_study.pools_of_ended_pods()
    assert set(ended) == {("on-demand", "on-demand"), ("spot", "spot")}


def test_the_launcher_uses_little_memory_and_returns_quickly(record: Record) -> None:
    assert record.launcher["peak_mib"] < 100
    assert notice_seconds(record) < 2


def test_the_reaper_uses_little_memory(record: Record) -> None:
    assert record.reaper["peak_mib"] < 100
    assert record.reaper["last_round_seconds"] < 10
    assert record.reaper["num_left"] == NUM_HELD


def test_the_reaper_completes_a_requeue_that_a_killed_one_began(kueue: None, tmp_path: Path) -> None:
    """The reaper starts after another one was killed between the two steps of a requeue."""
    name, namespace = job_at_work(tmp_path, INDEX_OF_SENT_BACK, seconds=40)
    change = json.dumps({"metadata": {"labels": {LABEL_REQUEUED: "true"}}, "spec": {"active": False}})
    workload = workload_of(name, namespace)["metadata"]["name"]
    kube.kubectl("patch", "workload", workload, "-n", namespace, "--type=merge", "-p", change)
    kube.wait_until(lambda: status_of(name, namespace).is_suspended, seconds=60, what="the job out of its pool")
    # Kueue suspends the job first, and takes the admission back in a later pass.
    kube.wait_until(
        lambda: "admission" not in workload_of(name, namespace)["status"], seconds=60, what="the admission taken back"
    )
    with reaper(namespace):
        kube.wait_until(lambda: status_of(name, namespace).has_succeeded, seconds=200, what="its end")
    assert_is_in_its_queue_as_others(workload_of(name, namespace))


@pytest.mark.skipif(KIND is not PYTORCHJOB, reason="Kueue itself requeues jobs of other kinds")
def test_the_reaper_requeues_a_job_without_a_node_that_kueue_does_not(patient_kueue: None, tmp_path: Path) -> None:
    name, namespace = job_at_work(tmp_path, INDEX_OF_STRANDED, seconds=600)
    with reaper(namespace):
        pools.lose("on-demand")
        kube.wait_until(lambda: status_of(name, namespace).is_suspended, seconds=240, what="the job sent back")
        pools.size("on-demand", 1)
        kube.wait_until(lambda: is_at_work(name, namespace), seconds=240, what="the job at work again")
    found = workload_of(name, namespace)
    assert_is_in_its_queue_as_others(found)
    evictions = found["status"]["schedulingStats"]["evictions"]
    assert [each["reason"] for each in evictions] == ["Deactivated"]


def job_at_work(folder: Path, index: int, *, seconds: float) -> tuple[str, str]:
    """Return the name and the namespace of a job that runs on the only node of its pool."""
    kube.apply(*pools.namespaces())
    objects = pools.queues(folder)
    kube.wait_until(lambda: pools.are_taken(objects), seconds=120, what="Kueue's webhooks, which come up after its pod")
    for pool in pools.NODES:
        pools.lose(pool)
    pools.size("on-demand", 1)
    objects_of_job = pools.job(OTHER, index, seconds=seconds)
    metadata = objects_of_job[-1]["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    pools.send([objects_of_job])
    kube.wait_until(lambda: is_at_work(name, namespace), seconds=90, what="the job at work")
    return name, namespace


def workload_of(name: str, namespace: str) -> dict[str, Any]:
    """Return the Workload of a job."""
    labels = f"{LABEL_JOB_OF_WORKLOAD}={uid_of(name, namespace)}"
    (found,) = kube.items("workloads.kueue.x-k8s.io", namespace=namespace, labels=labels)
    return found


def assert_is_in_its_queue_as_others(workload: dict[str, Any]) -> None:
    """Check that a Workload shows no trace of the requeue."""
    assert workload["spec"].get("active", True)
    assert LABEL_REQUEUED not in workload["metadata"]["labels"]


@contextmanager
def reaper(namespace: str) -> Iterator[None]:
    """A reaper of one namespace with a short recovery time."""
    process = gpu_study.start_control("reaper", namespace=namespace, patience_seconds=10)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_the_check_of_quotas_can_fail() -> None:
    shares = {
        ("a", "spot"): Share(nominal=32, borrowing=8, lending=16),
        ("b", "spot"): Share(nominal=32, borrowing=None, lending=None),
    }
    assert breaches({("a", "spot"): 40, ("b", "spot"): 24}, shares) == []
    assert len(breaches({("a", "spot"): 48}, shares)) == 1
    assert len(breaches({("b", "spot"): 56}, shares)) == 1
    assert len(breaches({("a", "spot"): 32, ("b", "spot"): 40}, shares)) == 1
    assert len(breaches({("c", "spot"): 8}, shares)) == 1
