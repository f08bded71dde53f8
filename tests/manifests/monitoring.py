"""Data for the tests of monitoring: its files, the names in its queries, and the metrics of other programs."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "manifests" / "components" / "monitoring"
DASHBOARDS: Final = sorted((FOLDER / "dashboards").glob("*.json"))

FOREIGN: Final[Mapping[str, tuple[str, ...]]] = {
    "Prometheus itself": ("up",),
    "Pushgateway, of each pushed group": ("push_time_seconds",),
    "dcgm-exporter, etc/default-counters.csv": (
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_XID_ERRORS",
    ),
    "kube-state-metrics, docs/metrics, all stable": (
        "kube_deployment_status_replicas_available",
        "kube_job_created",
        "kube_job_failed",
        "kube_job_spec_completions",
        "kube_node_spec_unschedulable",
        "kube_node_status_allocatable",
        "kube_pod_container_resource_requests",
        "kube_pod_owner",
        "kube_pod_status_phase",
    ),
    "Kueue 0.19, pkg/metrics/metrics.go": (
        "kueue_admission_wait_time_seconds_bucket",
        "kueue_admitted_workloads_total",
        "kueue_cluster_queue_info",
        "kueue_cluster_queue_nominal_quota",
        "kueue_cluster_queue_resource_usage",
        "kueue_evicted_workloads_total",
        "kueue_pending_workloads",
        "kueue_preempted_workloads_total",
    ),
    "training operator 1.9, pkg/common/metrics.go": (
        "training_operator_jobs_created_total",
        "training_operator_jobs_failed_total",
        "training_operator_jobs_restarted_total",
    ),
}
"""Metrics of other programs, by the source in which their names were looked up."""


class Query(NamedTuple):
    dashboard: str
    panel: str
    text: str


def load_yaml(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in load_yaml("rules.yaml")["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def queries() -> list[Query]:
    return [
        Query(path.stem, panel["title"], target["expr"])
        for path in DASHBOARDS
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel["targets"]
    ]


def metric_names(query: str) -> set[str]:
    """Return the metrics of a PromQL expression: all identifiers except labels, functions and keywords."""
    text = re.sub(r'"[^"]*"', "", query)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    words = set(re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])", text))
    return words - {"and", "or", "unless", "bool", "offset", "group_left", "group_right"}


def filled_in(query: str) -> str:
    """Replace Grafana's variables as Grafana does if all values are selected."""
    for name, value in {"$__range": "1h", "$run": ".*", "$queue": ".*"}.items():
        query = query.replace(name, value)
    return query
