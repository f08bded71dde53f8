"""``peerkd reap``: the small process in a cluster that deletes the jobs for which nobody waits any more."""

import signal
import threading

from peerkd.launch.kubernetes.client import connect
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.reaper import run_reaper
from peerkd.launch.probe import serve_probe

_MAX_SILENCE_SECONDS = 120.0
"""A round waits half a minute at most for a cluster that does not answer; an outage is no reason to be started anew."""


def reap(*, namespace: str | None, port: int | None) -> None:
    """Look after a namespace until this process is told to end.

    Raises:
        ValueError: If no cluster is configured.
    """
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    pulse = run_reaper(connect(namespace=namespace), JOB_KINDS, stop=stop)
    if port is not None:
        serve_probe(port, pulse=pulse, max_seconds=_MAX_SILENCE_SECONDS)
    # With a timeout, because a signal is not seen while a wait without one lasts on some platforms.
    while not stop.wait(1.0):
        pass
