"""The page that documents the metrics, from their table: ``python -m peerkd.metrics.describe``."""

import sys
from collections.abc import Iterable
from typing import Final

from peerkd.metrics.names import GROUP_LABELS, METRICS, WORKER_LABELS, Metric


def _words(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


_INTRODUCTION: Final = f"""\
<!-- Written by `make docs` from peerkd/metrics/names.py. Edit that. -->

# Metrics

A training pod serves the metrics of the first table on the port that `PEERKD_METRICS_PORT` names. The others are
pushed once by the launcher, at the end of a job, to the Pushgateway that `PEERKD_PUSHGATEWAY` names, and deleted there
ten minutes later. Without these variables nothing is served and nothing is pushed.

- Every metric of a worker has the labels {_words(WORKER_LABELS)}; Prometheus adds the namespace, the pod, and the pool
  of the pod's node. Every metric of a summary has the labels {_words(GROUP_LABELS)}.
- The run of a worker is on `peerkd_worker_info` only. Join it by namespace and pod:
  `peerkd_loss * on (namespace, pod) group_left (run) peerkd_worker_info`.
- A label's values are bounded; the part of a loss beyond the 32nd is counted as `other`.
- Ages, rates, GPU-seconds and costs over time are
  [recording rules](../manifests/components/monitoring/rules.yaml); what an alert means is in
  [runbooks.md](runbooks.md).
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [_INTRODUCTION]
    for title, writer in (("Of a worker", "worker"), ("Of a summary", "summary")):
        lines += [f"## {title}", "", "| Metric | Kind | Unit | Further labels | Meaning |", "|---|---|---|---|---|"]
        lines += [*(_row(metric) for metric in METRICS if metric.writer == writer), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(metric: Metric) -> str:
    further = _words(metric.extra_labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {further} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write(page())
