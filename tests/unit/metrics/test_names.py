import re

import pytest

from peerkd.metrics import names
from peerkd.metrics.names import METRICS, Metric

SUFFIXES = {
    "seconds": "_seconds",
    "Unix seconds": "_time_seconds|_timestamp_seconds",
    "bytes": "_bytes",
    "ratio": "_ratio",
    "GPU-seconds": "_gpu_seconds",
}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_follows_the_rules_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"peerkd_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert re.search(f"({SUFFIXES.get(metric.unit, '')})$", metric.name)
    assert metric.help.endswith(".")
    assert "|" not in metric.help


def test_the_table_has_every_metric_of_the_module_once() -> None:
    of_module = [value for value in vars(names).values() if isinstance(value, Metric)]
    assert list(METRICS) == of_module
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_metrics_of_a_worker_have_few_labels_besides_stage_and_worker() -> None:
    for metric in METRICS:
        if metric.writer == "worker":
            assert metric.labels[:2] == ("stage", "worker")
        else:
            assert metric.labels == ()
    extra = {label for metric in METRICS for label in metric.extra_labels}
    assert extra == {"run", "architecture", "part", "split"}
