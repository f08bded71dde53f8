"""A record of all admissions by Kueue and all ends of jobs. It watches the API, so it misses no change."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes.client import WORKLOADS, Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import condition
from tests.e2e.kind import KIND
from tests.e2e.pools import GPU, Share

_WATCH_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Holding:
    """The share of a pool that a job holds."""

    queue: str
    flavor: str
    gpus: int


@dataclass
class Entry:
    """The history of a job in its queue. Times are those of this machine."""

    job: str
    workload: str
    namespace: str
    queue: str
    priority: str
    first_seen: float
    holding: Holding | None = None
    finished: float | None = None
    admissions: list[tuple[float, str]] = field(default_factory=list)
    """Time and flavour of each admission."""
    evictions: list[tuple[float, str]] = field(default_factory=list)
    """Time and reason of each eviction."""
    last_eviction: str = ""
    """The time of the last eviction by Kueue, which distinguishes it from the previous one."""


class Ledger:
    """Watches the workloads and jobs of some namespaces, in threads that end with the process."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], shares: Mapping[tuple[str, str], Share]) -> None:
        self._cluster, self._namespaces, self._shares = cluster, frozenset(namespaces), dict(shares)
        self.entries: dict[str, Entry] = {}
        self.succeeded: dict[str, float] = {}
        self.failed: dict[str, float] = {}
        self.breaches: list[str] = []
        """Violations of a quota at any moment."""
        self.troubles: list[str] = []
        self.num_changes = 0
        self.most: Counter[tuple[str, str]] = Counter()
        """The largest number of GPUs in use by queue and flavour."""

    def start(self) -> None:
        """Start to watch, after reading all existing objects."""
        for resource, take in ((WORKLOADS, self._take_workload), (KIND.resource, self._take_job)):
            listed = self._cluster.list(resource, all_namespaces=True)
            for each in listed["items"]:
                take("ADDED", each)
            arguments = (resource, take, listed["metadata"]["resourceVersion"])
            threading.Thread(target=self._follow, args=arguments, daemon=True).start()

    def held(self, queue: str | None = None, flavor: str | None = None) -> int:
        """Return the number of admitted GPUs, of a queue, of a flavour, or of all."""
        holdings = [each.holding for each in list(self.entries.values()) if each.holding]
        return sum(each.gpus for each in holdings if queue in (None, each.queue) and flavor in (None, each.flavor))

    def of(self, queue: str) -> list[Entry]:
        """Return all entries of a queue."""
        return [each for each in list(self.entries.values()) if each.queue == queue]

    def num_evicted(self, reason: str, *, since: float = 0.0) -> int:
        """Return the number of evictions with a reason, over all jobs."""
        return sum(
            when >= since and why.startswith(reason)
            for each in list(self.entries.values())
            for when, why in each.evictions
        )

    def _follow(self, resource: Resource, take: Callable[[str, dict[str, Any]], None], resource_version: str) -> None:
        try:
            # No pause between two watches is needed, because a watch lasts longer than the study.
            for kind, seen in self._cluster.watch(
                resource, resource_version=resource_version, all_namespaces=True, timeout_seconds=_WATCH_SECONDS
            ):
                take(kind, seen)
        except PeerKDError as error:
            self.troubles.append(f"{resource.plural}: {error}")

    def _take_job(self, kind: str, job: dict[str, Any]) -> None:
        if kind == "BOOKMARK" or job["metadata"]["namespace"] not in self._namespaces:
            return
        name, status = job["metadata"]["name"], KIND.read_status(job)
        if status.has_succeeded:
            self.succeeded.setdefault(name, time.time())
        elif status.has_failed:
            self.failed.setdefault(name, time.time())

    def _take_workload(self, kind: str, workload: dict[str, Any]) -> None:
        if kind == "BOOKMARK" or workload["metadata"]["namespace"] not in self._namespaces:
            return
        now = time.time()
        entry = self._entry(workload, now)
        status = workload.get("status") or {}
        finished = condition(workload, "Finished")
        if finished and entry.finished is None:
            entry.finished = now
        before = entry.holding
        # Kueue gives a share to others as soon as its workload is inactive, without waiting for the pods to end.
        is_free = finished or kind == "DELETED" or workload["spec"].get("active") is False
        entry.holding = None if is_free else _holding(status.get("admission"))
        if entry.holding and entry.holding != before:
            entry.admissions.append((now, entry.holding.flavor))
        evicted = condition(workload, "Evicted")
        if evicted:
            preempted = condition(workload, "Preempted") or {}
            why = evicted["reason"] + (
                f"/{preempted['reason']}" if evicted["reason"] == "Preempted" and preempted else ""
            )
            if entry.last_eviction != evicted["lastTransitionTime"]:
                entry.last_eviction = evicted["lastTransitionTime"]
                entry.evictions.append((now, why))
        self.num_changes += 1
        self._check(now)

    def _entry(self, workload: Mapping[str, Any], now: float) -> Entry:
        uid = workload["metadata"]["uid"]
        if uid not in self.entries:
            (owner,) = workload["metadata"]["ownerReferences"]
            reference = workload["spec"].get("priorityClassRef") or {}
            self.entries[uid] = Entry(
                job=owner["name"],
                workload=workload["metadata"]["name"],
                namespace=workload["metadata"]["namespace"],
                queue=workload["spec"]["queueName"],
                priority=reference.get("name", ""),
                first_seen=now,
            )
        return self.entries[uid]

    def _check(self, now: float) -> None:
        sums: Counter[tuple[str, str]] = Counter()
        for each in self.entries.values():
            if each.holding:
                sums[each.holding.queue, each.holding.flavor] += each.holding.gpus
        for pair, gpus in sums.items():
            self.most[pair] = max(self.most[pair], gpus)
        self.breaches += [f"{now:.1f}: {each}" for each in breaches(sums, self._shares)]


def breaches(held: Mapping[tuple[str, str], int], shares: Mapping[tuple[str, str], Share]) -> list[str]:
    """Return the violations of a cohort's shares by the GPUs in use, given by queue and flavour."""
    found = []
    for flavor in sorted({flavor for _, flavor in shares}):
        total = sum(share.nominal for (_, where), share in shares.items() if where == flavor)
        all_held = sum(gpus for (_, where), gpus in held.items() if where == flavor)
        if all_held > total:
            found.append(f"{flavor}: {all_held} of {total} GPUs")
        for (queue, where), share in shares.items():
            own = held.get((queue, flavor), 0)
            if where != flavor:
                continue
            if share.borrowing is not None and own > share.nominal + share.borrowing:
                found.append(f"{queue} holds {own} of {flavor}, and may {share.nominal + share.borrowing}")
            kept = share.nominal - share.lending if share.lending is not None else 0
            if all_held - own > total - kept:
                found.append(f"others hold {all_held - own} of {flavor}, though {queue} keeps {kept} of {total}")
    found += [
        f"{queue} holds {flavor}, of which it has no share" for queue, flavor in held if (queue, flavor) not in shares
    ]
    return found


def _holding(admission: Mapping[str, Any] | None) -> Holding | None:
    if not admission:
        return None
    (assigned,) = admission["podSetAssignments"]
    return Holding(admission["clusterQueue"], assigned["flavors"][GPU], int(assigned["resourceUsage"][GPU]))
