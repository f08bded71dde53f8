"""The reference page of the metrics. ``python -m peerkd.metrics.describe`` prints it from the table of metrics."""

import sys
from collections.abc import Iterable
from typing import Final

from peerkd.metrics.names import GROUP_LABELS, METRICS, WORKER_LABELS, Metric


def _words(labels: Iterable[str], between: str = ", ") -> str:
    return between.join(f"`{label}`" for label in labels)


_INTRODUCTION: Final = f"""\
<!-- Written by `make docs` from peerkd/metrics/names.py. Edit that. -->

# Metrics

A training pod serves the metrics of the first table on the port given by `PEERKD_METRICS_PORT`. At the end of a job,
the launcher pushes the metrics of the second table, which are the *summary* of the job, once to the Pushgateway given
by `PEERKD_PUSHGATEWAY`. The reaper deletes them there after ten minutes. Without these variables, nothing is served and
nothing is pushed.

- Every metric of a worker has the labels {_words(WORKER_LABELS, " and ")}. Prometheus adds the namespace, the pod,
  and the pool of the pod's node. Every metric of a summary has the labels {_words(GROUP_LABELS, " and ")}.
- Only `peerkd_worker_info` has the run of a worker as a label. Join it by namespace and pod:
  `peerkd_loss * on (namespace, pod) group_left (run) peerkd_worker_info`.
- The number of values of a label is limited. The parts of a loss beyond the 32nd are reported as `other`.
- Ages, rates, GPU-seconds and costs over time are
  [recording rules](../manifests/components/monitoring/rules.yaml). [runbooks.md](runbooks.md) explains the alerts.
"""


def page() -> str:
    """Return the reference page of all metrics, ``docs/metrics.md``, as Markdown."""
    lines = [_INTRODUCTION]
    for title, writer in (("Metrics of a worker", "worker"), ("Metrics of a summary", "summary")):
        lines += [f"## {title}", "", "| Metric | Kind | Unit | Additional labels | Meaning |", "|---|---|---|---|---|"]
        lines += [*(_row(metric) for metric in METRICS if metric.writer == writer), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(metric: Metric) -> str:
    labels = _words(metric.extra_labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write(page())
