"""``peerkd reap``: a service in a cluster that deletes jobs whose launchers no longer exist."""

import signal
import threading

from peerkd.launch.kubernetes.client import connect
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.reaper import run_reaper
from peerkd.launch.probe import serve_probe

_MAX_SILENCE_SECONDS = 120.0
"""The time without a finished pass after which the health probe fails. If the cluster does not answer, a pass takes at
most half a minute."""


def reap(*, namespace: str | None, port: int | None) -> None:
    """Run the reaper of a namespace until this process is asked to end.

    Raises:
        ValueError: If no cluster is configured.
    """
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    pulse = run_reaper(connect(namespace=namespace), JOB_KINDS, stop=stop)
    if port is not None:
        serve_probe(port, pulse=pulse, max_seconds=_MAX_SILENCE_SECONDS)
    # The wait has a timeout, because on some platforms a wait without one delays signals.
    while not stop.wait(1.0):
        pass
