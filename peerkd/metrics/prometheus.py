"""The adapter of Prometheus: the endpoint of a worker, and the summaries of jobs and of stages too short to be scraped.

This is the only module that imports ``prometheus_client``. A summary is pushed to a Pushgateway, from which Prometheus
reads it; ``gateway`` is always the address of this server. A failure of metrics never ends a training: if a port is in
use or the Pushgateway does not answer, a warning is printed and the work continues.
"""

import http.client
import json
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, delete_from_gateway, push_to_gateway, start_http_server

from peerkd.metrics import names
from peerkd.metrics.names import METRICS, PORT_VARIABLE, Metric, Recorder
from peerkd.metrics.progress import print_line

RUN_VARIABLE: Final = "PEERKD_RUN_ID"
WORKER_VARIABLE: Final = "PEERKD_WORKER_INDEX"
GPUS_VARIABLE: Final = "PEERKD_GPUS_PER_WORKER"

SUMMARY_JOB: Final = "peerkd"
"""The value of the label ``job`` in every group of metrics that peerkd pushes. ``pushed_groups`` omits groups with any
other value."""

_GATEWAY_TIMEOUT_SECONDS: Final = 5.0


class PrometheusRecorder:
    """A recorder that keeps the metrics of one worker in a separate registry."""

    def __init__(self, stage: str, *, worker: str = "0", run: str = "", num_gpus: int = 0) -> None:
        self.registry = CollectorRegistry()
        self._fixed = {"stage": stage, "worker": worker}
        self._run = run
        self._metrics = {
            metric.name: _make(metric, metric.labels, self.registry) for metric in METRICS if metric.writer == "worker"
        }
        self._seen: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.describe("")
        now = time.time()
        self.set(names.WORKER_START, now)
        self.set(names.LAST_PROGRESS, now)
        self.set(names.WORKER_GPUS, num_gpus)
        self.set(names.WORKER_WAITING, 0)
        # A counter that first appears with the value 1 shows no increase in Prometheus.
        self.add(names.STORE_ERRORS, 0)
        self.add(names.DIVERGED, 0)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Replace the value of a gauge."""
        self._child(metric, labels).set(value)

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Increase a counter by an amount."""
        self._child(metric, labels).inc(amount)

    def step(self, num_done: int) -> None:
        """Do nothing, because Prometheus records values over time."""

    def describe(self, architecture: str) -> None:
        """Replace the architecture in the metric ``peerkd_worker_info``."""
        self._metrics[names.WORKER_INFO.name].clear()
        self.set(names.WORKER_INFO, 1, run=self._run, architecture=architecture)

    def _child(self, metric: Metric, labels: Mapping[str, str]) -> Any:
        bounded = {
            name: self._bounded(metric.name, name, value)
            for name, value in labels.items()
            if name not in metric.tracked_labels
        }
        return self._metrics[metric.name].labels(**self._fixed, **bounded)

    def _bounded(self, metric: str, label: str, value: str) -> str:
        """Return the value, or ``OTHER`` if the label already has as many values as it may have."""
        seen = self._seen[metric, label]
        if value not in seen and len(seen) >= names.MAX_LABEL_VALUES:
            return names.OTHER
        seen.add(value)
        return value


@contextmanager
def serve(stage: str, environment: Mapping[str, str]) -> Iterator[Recorder | None]:
    """Serve a worker's metrics over HTTP from a thread. Yield the recorder, or ``None`` if the port cannot be used."""
    port, gpus = environment[PORT_VARIABLE], environment.get(GPUS_VARIABLE, "")
    recorder = PrometheusRecorder(
        stage,
        worker=environment.get(WORKER_VARIABLE, "0"),
        run=environment.get(RUN_VARIABLE, ""),
        num_gpus=int(gpus) if gpus.isdecimal() else 0,
    )
    try:
        server, thread = start_http_server(_port(port), registry=recorder.registry)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        print_line(stage, f"warning: no metrics are served, because {PORT_VARIABLE}={port} cannot be used: {reason}")
        yield None
        return
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def push(gateway: str, values: Mapping[Metric, float], *, run: str, stage: str) -> None:
    """Push metrics to a Pushgateway as the group of this run and stage, in place of all earlier metrics of this group.

    Raises:
        OSError: If the gateway cannot be reached or refuses the request.
    """
    registry = CollectorRegistry()
    for metric, value in values.items():
        _make(metric, (), registry).set(value)
    with _as_os_error():
        push_to_gateway(
            gateway, SUMMARY_JOB, registry, grouping_key=_group(run, stage), timeout=_GATEWAY_TIMEOUT_SECONDS
        )


def delete(gateway: str, *, run: str, stage: str) -> None:
    """Delete the metrics that were pushed for this run and stage from a Pushgateway, if there are any.

    Raises:
        OSError: If the gateway cannot be reached or refuses the request.
    """
    with _as_os_error():
        delete_from_gateway(gateway, SUMMARY_JOB, grouping_key=_group(run, stage), timeout=_GATEWAY_TIMEOUT_SECONDS)


def pushed_groups(gateway: str) -> list[tuple[str, str, float]]:
    """Return ``(run, stage, time)`` for every group of metrics that peerkd pushed.

    The time is that of the last push, in Unix seconds.

    Raises:
        OSError: If the gateway cannot be reached, or the response is not from a Pushgateway.
    """
    address = gateway if gateway.startswith(("http://", "https://")) else f"http://{gateway}"
    found = []
    with _as_os_error():
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/v1/metrics", timeout=_GATEWAY_TIMEOUT_SECONDS) as read:
            groups = json.load(read)["data"]
        for group in groups:
            labels = group["labels"]
            if labels.get("job") == SUMMARY_JOB and labels.keys() >= set(names.GROUP_LABELS):
                (pushed,) = group["push_time_seconds"]["metrics"]
                found.append((labels["run"], labels["stage"], float(pushed["value"])))
    return found


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Replace exceptions about a malformed address or response of a Pushgateway by an ``OSError``."""
    try:
        yield
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise OSError(f"its response is not that of a Pushgateway ({type(error).__name__}: {error})") from error


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**16):
        raise ValueError("it is not a number from 0 to 65535")
    return int(text)


def _group(run: str, stage: str) -> dict[str, str]:
    return {"run": run, "stage": stage}


def _make(metric: Metric, labels: tuple[str, ...], registry: CollectorRegistry) -> Any:
    make = Counter if metric.kind == "counter" else Gauge
    return make(metric.name, metric.help, labels, registry=registry)
