"""One process of the control plane, started separately so that its memory can be measured.

``launcher`` waits for the job of an order. ``reaper`` watches a namespace until SIGTERM. Both read parameters from
standard input, and finally print the resources that they used as one line of JSON.
"""

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def _peak_mib() -> float:
    # The memory of this program alone. The maximum of getrusage includes the process that started it.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _launcher(told: dict[str, Any]) -> dict[str, Any]:
    from peerkd.config.cluster import ClusterConfig
    from peerkd.launch.kubernetes.run import KubernetesJobs
    from peerkd.launch.order import StageOrder

    # The settings name the kind of the jobs.
    jobs = KubernetesJobs(ClusterConfig.from_mapping(told["cluster"]), environment={})
    (account,) = jobs.run(StageOrder(**told["order"]))
    return {"job": account.name, "queue_seconds": account.queue_seconds, "seconds": account.seconds}


def _reaper(told: dict[str, Any]) -> dict[str, Any]:
    from peerkd.launch.kubernetes.client import connect
    from peerkd.launch.kubernetes.kinds import JOB_KINDS
    from peerkd.launch.kubernetes.reaper import run_reaper

    stop, end = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    said: list[str] = []
    pulse = run_reaper(
        connect(namespace=told["namespace"]),
        JOB_KINDS,
        stop=stop,
        log=said.append,
        recovery_seconds=told["patience_seconds"],
    )
    while not end.wait(1.0):
        pass
    age = pulse()
    stop.set()
    return {"said": said, "last_round_seconds": age}


def main() -> None:
    """Run the process that the first argument names."""
    what = {"launcher": _launcher, "reaper": _reaper}[sys.argv[1]]
    result = what(json.load(sys.stdin))
    ended = time.time()
    cpu_seconds = time.process_time()
    took = {"ended": ended, "peak_mib": _peak_mib(), "cpu_seconds": cpu_seconds}
    sys.stdout.write(json.dumps({**result, **took}) + "\n")


if __name__ == "__main__":
    main()
