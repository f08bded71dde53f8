"""The results of service discovery as files, for a Prometheus without support for Kubernetes, such as Debian's.

The targets have the labels of service discovery, so the relabelling of ``prometheus.yaml`` is tested.
"""

import copy
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

_META = "__meta_kubernetes"


def pod_targets(pods: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the targets of pods: one for each port that a container declares.

    Args:
        pods: Pods as the API returns them. Pods without an address have no targets.
        nodes: Nodes as the API returns them, for ``attach_metadata``.
    """
    labels_of_nodes = {node["metadata"]["name"]: node["metadata"].get("labels", {}) for node in nodes}
    found = []
    for pod in pods:
        address = pod["status"].get("podIP")
        ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
        for port in ports if address else ():
            labels = {
                f"{_META}_namespace": pod["metadata"]["namespace"],
                f"{_META}_pod_name": pod["metadata"]["name"],
                f"{_META}_pod_phase": pod["status"]["phase"],
                f"{_META}_pod_container_port_name": port.get("name", ""),
            }
            for key, value in labels_of_nodes.get(pod["spec"].get("nodeName", ""), {}).items():
                labels[f"{_META}_node_label_{re.sub('[^a-zA-Z0-9_]', '_', key)}"] = value
            found.append({"targets": [f"{address}:{port['containerPort']}"], "labels": labels})
    return found


def with_files(config: Mapping[str, Any], folder: Path, *, interval: str | None = None) -> dict[str, Any]:
    """Return a Prometheus configuration that reads each job's targets from ``<job>.json`` in a folder.

    Args:
        config: The content of ``prometheus.yaml``.
        folder: The folder of the targets and the rules.
        interval: Replaces the intervals of scrapes and evaluations.
    """
    changed = copy.deepcopy(dict(config))
    changed["rule_files"] = [str(folder / name) for name in changed["rule_files"]]
    if interval:
        changed["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    for job in changed["scrape_configs"]:
        del job["kubernetes_sd_configs"]
        job["file_sd_configs"] = [{"files": [str(folder / f"{job['job_name']}.json")], "refresh_interval": "1s"}]
    return changed


def quickened(rules: str, *, stall_seconds: int) -> str:
    """Return the text of ``rules.yaml`` with evaluations every second, and another time until a worker is stalled.

    Values that are computed from the interval, which are GPU-seconds and cost, are then wrong.
    """
    assert "> 900\n" in rules
    quick = rules.replace("interval: 30s", "interval: 1s").replace("for: 1m\n", "for: 0s\n")
    return quick.replace("> 900\n", f"> {stall_seconds}\n")


def write(folder: Path, config: Mapping[str, Any], targets: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Write a configuration and its targets by job into a folder, and return the path of the configuration."""
    for job, each in targets.items():
        (folder / f"{job}.json").write_text(json.dumps(each), encoding="utf-8")
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    return path
