"""The memory and CPU time of controllers that run on this machine, read from /proc."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e import kubectl as kube

_INTERVAL_SECONDS: Final = 1.0


@dataclass
class Footprint:
    """The resources of a process since its first measurement."""

    pid: int
    first_mib: float
    most_mib: float
    cpu_seconds: float = 0.0


class Watcher:
    """Measures the processes of some pods every second, if they run on this machine."""

    def __init__(self, pods: dict[str, tuple[str, str]]) -> None:
        """``pods`` maps names to a namespace and labels."""
        self.seen: dict[str, Footprint] = {}
        self._stop = threading.Event()
        self._first_cpu: dict[str, float] = {}
        for name, (namespace, labels) in pods.items():
            running = [pod for pod in kube.items("pods", namespace=namespace, labels=labels) if _runs(pod)]
            for pid in (pid for pod in running for pid in _pids(pod["metadata"]["uid"])):
                self.seen[name] = Footprint(pid, _resident_mib(pid), 0.0)
                self._first_cpu[name] = _cpu_seconds(pid)

    def __enter__(self) -> "Watcher":
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _look(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            for name, each in self.seen.items():
                try:
                    each.most_mib = max(each.most_mib, _resident_mib(each.pid))
                    each.cpu_seconds = _cpu_seconds(each.pid) - self._first_cpu[name]
                except OSError:
                    continue


def _runs(pod: dict[str, object]) -> bool:
    status = pod["status"]
    assert isinstance(status, dict)
    return status.get("phase") == "Running" and "deletionTimestamp" not in str(pod["metadata"])


def _pids(pod: str) -> list[int]:
    """Return the processes of a pod. The name of their cgroup contains the id of the pod, in one of two spellings."""
    found = []
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            text = group.read_text()
            name = group.with_name("comm").read_text().strip()
        except OSError:
            continue
        if (pod in text or pod.replace("-", "_") in text) and name != "pause":
            found.append(int(group.parent.name))
    return found


def _resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _cpu_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
