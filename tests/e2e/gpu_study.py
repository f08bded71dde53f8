"""Three hundred jobs of three teams on two pools of GPU nodes, which grow and disappear meanwhile."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from peerkd.launch.kubernetes.client import PODS, Cluster, connect
from peerkd.launch.kubernetes.kinds import PYTORCHJOB, TRAINJOB
from tests.e2e import pools
from tests.e2e.footprint import Watcher
from tests.e2e.kind import KIND
from tests.e2e.kubectl import wait_until
from tests.e2e.ledger import Entry, Ledger
from tests.e2e.pools import TEAMS, Share, namespace_of

OWN, IDLE, OTHER = TEAMS
"""The three teams. The second one submits no jobs at first."""

NUM_FIRST: Final = {OWN: 134, OTHER: 80}
NUM_LATER: Final = 80
NUM_URGENT: Final = 6
NUM_JOBS: Final = sum(NUM_FIRST.values()) + NUM_LATER + NUM_URGENT
NUM_HELD: Final = 300
SECONDS: Final = 45.0
"""The duration of the pods of a job."""

_EVERY: Final = 10
"""One in this number of jobs of the third team has two workers."""

NUM_LOST: Final = 20
"""The least number of pods on spot nodes when these nodes disappear."""

_STEP_SECONDS: Final = 150.0
_REAPER_SECONDS: Final = 15.0
_PATIENCE_SECONDS: Final = 10.0
"""The time after which the reaper requeues a job without nodes. Kueue has the same here, so either may act first."""


@dataclass
class Record:
    """The measurements of a study. Times are seconds since the creation of the first job."""

    begun: float = 0.0
    shares: dict[tuple[str, str], Share] = field(default_factory=dict)
    num_admitted_without_nodes: int = 0
    """Jobs that were admitted to the spot pool while it was empty."""
    grown_at: float = 0.0
    first: list[str] = field(default_factory=list)
    """The first jobs of the pool, which were admitted while it was empty."""
    borrowed: int = 0
    """GPUs beyond the shares of the borrowing teams, just before the idle team submitted its jobs."""
    back_at: float = 0.0
    reclaim_seconds: float = 0.0
    urgent_seconds: float = 0.0
    num_overtaken: int = 0
    lost_at: float = 0.0
    lost: list[str] = field(default_factory=list)
    """Workloads on spot nodes when these disappeared."""
    num_sent_back_by_kueue: int = 0
    num_sent_back_by_reaper: int = 0
    sent_back_seconds: float = 0.0
    """The time from the loss of the nodes until no job held a share of them."""
    returned_at: float = 0.0
    seconds: float = 0.0
    """The time from the creation of the first job to the end of the last one."""
    launcher: dict[str, Any] = field(default_factory=dict)
    reaper: dict[str, Any] = field(default_factory=dict)
    footprints: dict[str, Any] = field(default_factory=dict)
    ledger: Ledger | None = None


_CONTROLLERS: Final = {
    PYTORCHJOB.name: {"training-operator": ("kubeflow", "control-plane=kubeflow-training-operator")},
    TRAINJOB.name: {
        "trainer": ("kubeflow-system", "app.kubernetes.io/name=trainer"),
        "jobset": ("jobset-system", "control-plane=controller-manager"),
    },
}
"""The namespace and the label of each controller whose resources are measured, by the kind of the jobs."""


def run_study(shares: dict[tuple[str, str], Share]) -> Record:
    """Run the study, from the empty pool to the end of the last job."""
    record = Record(shares=shares)
    ledger = record.ledger = Ledger(connect(), [namespace_of(team) for team in TEAMS], shares)
    ledger.start()
    controllers = {
        "kueue": ("kueue-system", "control-plane=controller-manager"),
        **_CONTROLLERS[KIND.name],
    }
    record.begun = time.time()
    with Watcher(controllers) as watcher:
        first = [_first(team, index) for team in (OWN, OTHER) for index in range(NUM_FIRST[team])]
        pools.send(first)
        launcher = start_control("launcher", **_told(NUM_FIRST[OWN] - 1))
        reapers = [_start_reaper(namespace_of(team)) for team in TEAMS]
        try:
            for step in (_grow, _come_back, _be_urgent, _lose_and_return, _end):
                _tell(record, step.__name__.strip("_"))
                step(record, ledger)
            record.launcher = end_control(launcher)
            for each in reapers:
                each.terminate()
                end_control(each)
        finally:
            for each in (launcher, *reapers):
                each.kill()
                each.communicate()
    record.footprints = {name: asdict(each) for name, each in watcher.seen.items()}
    _look_after_many(record)
    return record


def start_control(what: str, **told: Any) -> subprocess.Popen[str]:
    """Start one process of the control plane."""
    script = Path(__file__).with_name("control_side.py")
    process = subprocess.Popen(
        [sys.executable, str(script), what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    process.stdin.write(json.dumps(told))
    process.stdin.close()
    process.stdin = None
    return process


def end_control(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for the end of a process, and return its last line of output."""
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    result: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return {**result, "printed": printed}


def admission_rate(ledger: Ledger, *, within_seconds: float) -> float:
    """Return the highest number of admissions per second in any period of a given length."""
    times = sorted(when for each in ledger.entries.values() for when, _ in each.admissions)
    most = max(sum(start <= each < start + within_seconds for each in times) for start in times)
    return most / within_seconds


def _first(team: str, index: int) -> list[dict[str, Any]]:
    workers = 2 if team == OTHER and index % _EVERY == 0 else 1
    return pools.job(team, index, seconds=SECONDS, workers=workers)


def _told(index: int) -> dict[str, Any]:
    order = pools.order_of(OWN, index)
    fields = {name: getattr(order, name) for name in ("stage", "config_json", "store", "inputs", "key")}
    return {"cluster": pools.cluster_of(OWN).model_dump(mode="json"), "order": fields}


def _grow(record: Record, ledger: Ledger) -> None:
    """Check that jobs are admitted to the empty spot pool, which an autoscaler would notice, and then add its nodes."""
    wait_until(lambda: len(_unscheduled()) >= 10, seconds=_STEP_SECONDS, what="pods that wait for spot nodes")
    record.first = [each.job for each in _holders(ledger, "peerkd-spot")]
    record.num_admitted_without_nodes = len(record.first)
    record.grown_at = time.time() - record.begun
    pools.size("spot", pools.NODES["spot"])


def _come_back(record: Record, ledger: Ledger) -> None:
    """Submit the jobs of the idle team, whose share the others have borrowed."""
    own = {queue: sum(s.nominal for (q, _), s in record.shares.items() if q == queue) for queue in TEAMS}
    wait_until(
        lambda: ledger.held(OWN) + ledger.held(OTHER) > own[OWN] + own[OTHER], seconds=_STEP_SECONDS, what="borrowing"
    )
    wait_until(lambda: len(ledger.entries) >= sum(NUM_FIRST.values()), seconds=_STEP_SECONDS, what="all jobs queued")
    record.borrowed = ledger.held(OWN) + ledger.held(OTHER) - own[OWN] - own[OTHER]
    came_back = time.time()
    record.back_at = came_back - record.begun
    pools.send([pools.job(IDLE, index, seconds=SECONDS) for index in range(NUM_LATER)])
    wait_until(lambda: ledger.held(IDLE) >= own[IDLE], seconds=_STEP_SECONDS, what="its own share given back")
    record.reclaim_seconds = time.time() - came_back


def _be_urgent(record: Record, ledger: Ledger) -> None:
    """Submit some jobs of high priority."""
    waiting = {each.workload for each in ledger.of(OWN) if not each.admissions}
    first = NUM_FIRST[OWN]
    sent = time.time()
    pools.send([pools.job(OWN, first + n, seconds=SECONDS, priority="peerkd-high") for n in range(NUM_URGENT)])

    def let_in() -> list[Entry]:
        return [each for each in ledger.of(OWN) if each.priority == "peerkd-high" and each.admissions]

    wait_until(lambda: len(let_in()) == NUM_URGENT, seconds=_STEP_SECONDS, what="the urgent jobs let in")
    last = max(each.admissions[0][0] for each in let_in())
    record.urgent_seconds = last - sent
    record.num_overtaken = sum(
        each.workload in waiting and not any(when < last for when, _ in each.admissions) for each in ledger.of(OWN)
    )


def _lose_and_return(record: Record, ledger: Ledger) -> None:
    """Delete all spot nodes while pods run on them, and add new ones much later."""
    wait_until(lambda: len(_running_on("spot")) >= NUM_LOST, seconds=_STEP_SECONDS, what="pods on spot nodes")
    pools.lose("spot")
    lost_at = time.time()
    record.lost_at = lost_at - record.begun
    lost = _holders(ledger, "peerkd-spot")
    record.lost = [each.workload for each in lost]
    _tell(record, f"{len(lost)} jobs have lost their nodes")
    wait_until(lambda: not _running_on("spot"), seconds=_STEP_SECONDS, what="the lost nodes' pods cleared away")

    def still_hold() -> list[Entry]:
        return [each for each in lost if each.finished is None and not _evictions(each, after=lost_at)]

    wait_until(lambda: not still_hold(), seconds=_STEP_SECONDS, what="all that had lost their nodes sent back")
    record.sent_back_seconds = time.time() - lost_at
    reasons = [_evictions(each, after=lost_at)[0] for each in lost if _evictions(each, after=lost_at)]
    record.num_sent_back_by_reaper = sum("Deactivated" in why for why in reasons)
    record.num_sent_back_by_kueue = len(reasons) - record.num_sent_back_by_reaper
    _tell(record, f"{record.num_sent_back_by_kueue} sent back by Kueue, {record.num_sent_back_by_reaper} by the reaper")
    wait_until(
        lambda: any(each.finished and each.admissions[-1][1] == "peerkd-on-demand" for each in lost),
        seconds=_STEP_SECONDS,
        what="a job of the lost pool that has ended on demand",
    )
    pools.size("spot", pools.NODES["spot"])
    record.returned_at = time.time() - record.begun


def _end(record: Record, ledger: Ledger) -> None:
    """Wait until all jobs have ended."""
    wait_until(
        lambda: len(ledger.succeeded) + len(ledger.failed) >= NUM_JOBS, seconds=300, what=f"{NUM_JOBS} ended jobs"
    )
    record.seconds = max([*ledger.succeeded.values(), *ledger.failed.values()]) - record.begun


def _tell(record: Record, step: str) -> None:
    assert record.ledger
    seconds, ended = time.time() - record.begun, len(record.ledger.succeeded)
    sys.stdout.write(f"{seconds:4.0f} s: {ended} jobs have ended, {record.ledger.held()} GPUs are held; {step}\n")
    sys.stdout.flush()


def _start_reaper(namespace: str) -> subprocess.Popen[str]:
    return start_control("reaper", namespace=namespace, patience_seconds=_PATIENCE_SECONDS)


def _look_after_many(record: Record) -> None:
    """Measure a reaper that starts in a namespace with many jobs."""
    pools.send(pools.held_jobs(NUM_HELD, lease="2026-01-01T00:00:00.000+00:00"))
    cluster = connect(namespace=namespace_of("reaper"))
    assert len(cluster.list(KIND.resource)["items"]) == NUM_HELD
    reaper = _start_reaper(namespace_of("reaper"))
    time.sleep(_REAPER_SECONDS)
    reaper.terminate()
    record.reaper = end_control(reaper)
    record.reaper["num_left"] = len(cluster.list(KIND.resource)["items"])


def _evictions(entry: Entry, *, after: float) -> list[str]:
    return [why for when, why in entry.evictions if when > after]


def _holders(ledger: Ledger, flavor: str) -> list[Entry]:
    return [each for each in list(ledger.entries.values()) if each.holding and each.holding.flavor == flavor]


def _pods(phase: str) -> list[dict[str, Any]]:
    cluster: Cluster = connect()
    listed = cluster.list(
        PODS, labels={"peerkd.io/stage": "distill_pairs"}, fields={"status.phase": phase}, all_namespaces=True
    )
    ours = {namespace_of(team) for team in TEAMS}
    return [pod for pod in listed["items"] if pod["metadata"]["namespace"] in ours]


def _unscheduled() -> list[dict[str, Any]]:
    return [
        pod
        for pod in _pods("Pending")
        if not pod["spec"].get("nodeName") and pod["spec"]["nodeSelector"].get("peerkd.io/pool") == "spot"
    ]


def _running_on(pool: str) -> list[dict[str, Any]]:
    return [pod for pod in _pods("Running") if pod["spec"]["nodeSelector"].get("peerkd.io/pool") == pool]


def pools_of_ended_pods() -> Counter[tuple[str, str]]:
    """Return for each ended pod the pool that the queue chose and the pool of its node."""
    return Counter(
        (pod["spec"]["nodeSelector"]["peerkd.io/pool"], pools.pool_of_node(pod["spec"]["nodeName"]))
        for pod in _pods("Succeeded")
    )
