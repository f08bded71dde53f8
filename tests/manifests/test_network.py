"""No connection is allowed except those that the policies name."""

import shutil
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from tests.manifests.built import MANIFESTS, Object, build, build_here, of_kind, templates

OBJECTS = ("overlays/gpu", "examples/team")
WORKER = dict(names.OUR_LABELS)
TASK = {"workflows.argoproj.io/workflow": "jointkd-x"}
REAPER = {"app.kubernetes.io/name": "peerkd", "app.kubernetes.io/component": "reaper"}
GATEWAY = {"app.kubernetes.io/name": "peerkd", "app.kubernetes.io/component": "pushgateway"}
MINIO = {"app.kubernetes.io/name": "minio", "app.kubernetes.io/component": "store"}
METADATA = "169.254.169.254"
API_SERVER = "10.0.0.1"
OUTSIDE = "52.216.0.1"


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions", []):
        found = labels.get(each["key"])
        fits = {
            "Exists": found is not None,
            "DoesNotExist": found is None,
            "In": found in each.get("values", []),
        }
        if not fits[each["operator"]]:
            return False
    return True


def rules(objects: tuple[Object, ...], labels: Mapping[str, str], way: str) -> Iterator[Mapping[str, Any]] | None:
    """Return the rules for a pod, or None if no policy restricts it."""
    chosen = [
        policy["spec"]
        for policy in of_kind(objects, "NetworkPolicy").values()
        if selects(policy["spec"]["podSelector"], labels) and way.capitalize() in policy["spec"]["policyTypes"]
    ]
    return (rule for spec in chosen for rule in spec.get(way, [])) if chosen else None


def allows(
    objects: tuple[Object, ...],
    labels: Mapping[str, str],
    way: str,
    peer: Mapping[str, str] | str,
    port: int,
    **space: str,
) -> bool:
    """Return whether a pod may connect to (egress) or accept connections from (ingress) a pod or an address.

    Args:
        objects: All objects, including the policies.
        labels: The labels of the pod.
        way: egress or ingress.
        peer: The labels of the other pod, or an address.
        port: The port of the side that accepts the connection.
        **space: ``namespace``, if the other pod is in another one.
    """
    found = rules(objects, labels, way)
    return found is None or any(_fits(rule, way, peer, port, space.get("namespace")) for rule in found)


def _fits(rule: Mapping[str, Any], way: str, peer: Mapping[str, str] | str, port: int, namespace: str | None) -> bool:
    ports = rule.get("ports")
    if ports is not None and port not in {each["port"] for each in ports}:
        return False
    return any(_is(side, peer, namespace) for side in rule["to" if way == "egress" else "from"])


def _is(side: Mapping[str, Any], peer: Mapping[str, str] | str, namespace: str | None) -> bool:
    if "ipBlock" in side:
        block = side["ipBlock"]
        inside = isinstance(peer, str) and ip_address(peer) in ip_network(block["cidr"])
        return inside and not any(ip_address(peer) in ip_network(each) for each in block.get("except", []))
    if isinstance(peer, str):
        return False
    space = side.get("namespaceSelector")
    if (space is None) != (namespace is None):
        return False
    if space is not None and not selects(space, {"kubernetes.io/metadata.name": str(namespace)}):
        return False
    return selects(side.get("podSelector", {}), peer)


@pytest.mark.parametrize("overlay", OBJECTS)
@pytest.mark.parametrize("way", ["egress", "ingress"])
def test_a_pod_without_a_policy_of_its_own_has_no_connections(overlay: str, way: str) -> None:
    objects = build(overlay)
    for port in (80, 443, 9000, 9090, 9091):
        assert not allows(objects, {"app": "unknown"}, way, OUTSIDE, port)
        assert not allows(objects, {"app": "unknown"}, way, WORKER, port)


@pytest.mark.parametrize("overlay", OBJECTS)
@pytest.mark.parametrize("labels", [WORKER, TASK, REAPER, MINIO, GATEWAY])
def test_no_pod_reaches_the_metadata_service_of_a_cloud(overlay: str, labels: dict[str, str]) -> None:
    assert not any(allows(build(overlay), labels, "egress", METADATA, port) for port in (80, 443, 6443))


@pytest.mark.parametrize("overlay", OBJECTS)
def test_every_pod_reaches_the_dns(overlay: str) -> None:
    dns = {"k8s-app": "kube-dns"}
    for labels in (WORKER, TASK, REAPER, {"app": "unknown"}):
        assert allows(build(overlay), labels, "egress", dns, 53, namespace="kube-system")
        assert not allows(build(overlay), labels, "egress", dns, 53, namespace="elsewhere")


@pytest.mark.parametrize("overlay", OBJECTS)
def test_launcher_and_reaper_reach_the_api_server_and_workers_do_not(overlay: str) -> None:
    objects = build(overlay)
    for port in (443, 6443):
        assert allows(objects, TASK, "egress", API_SERVER, port)
        assert allows(objects, REAPER, "egress", API_SERVER, port)
        assert not allows(objects, WORKER, "egress", API_SERVER, port)


@pytest.mark.parametrize("overlay", OBJECTS)
def test_no_pod_reaches_an_address_that_the_operator_has_not_listed(overlay: str) -> None:
    objects = build(overlay)
    for policy in of_kind(objects, "NetworkPolicy").values():
        for rule in policy["spec"].get("egress", []):
            for block in (side["ipBlock"] for side in rule["to"] if "ipBlock" in side):
                network = ip_network(block["cidr"])
                assert network.is_private or network.subnet_of(ip_network("100.64.0.0/10")), block
    for labels in (WORKER, TASK, REAPER, MINIO, GATEWAY):
        assert not allows(objects, labels, "egress", OUTSIDE, 443)


def test_the_addresses_of_the_store_are_set_in_one_place(tmp_path: Path) -> None:
    site = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, site)
    addresses = site / "overlays" / "gpu" / "store-addresses.yaml"
    addresses.write_text(addresses.read_text(encoding="utf-8").replace("192.0.2.0/24", "52.216.0.0/15"), "utf-8")
    objects = build_here(tmp_path, {"resources": ["overlays/gpu"]})
    for labels in (WORKER, TASK):
        assert allows(objects, labels, "egress", OUTSIDE, 443)
        assert not allows(objects, labels, "egress", OUTSIDE, 80)
        assert not allows(objects, labels, "egress", "8.8.8.8", 443)
    assert not allows(objects, REAPER, "egress", OUTSIDE, 443)


@pytest.mark.parametrize("overlay", OBJECTS)
def test_workers_reach_each_other(overlay: str) -> None:
    objects = build(overlay)
    assert allows(objects, WORKER, "egress", WORKER, 34567)
    assert allows(objects, WORKER, "ingress", WORKER, 34567)
    assert not allows(objects, WORKER, "ingress", TASK, 34567)


@pytest.mark.parametrize("labels", [WORKER, TASK, {"app.kubernetes.io/component": "bucket"}])
def test_a_store_inside_is_reached_by_the_pods_that_need_it(labels: dict[str, str]) -> None:
    objects = build("overlays/gpu")
    assert allows(objects, labels, "egress", MINIO, 9000)
    assert allows(objects, MINIO, "ingress", labels, 9000)
    assert not allows(objects, MINIO, "ingress", REAPER, 9000)


def test_only_prometheus_reads_metrics() -> None:
    objects = build("overlays/gpu")
    for labels, port in ((WORKER, 9090), (GATEWAY, 9091)):
        assert allows(objects, labels, "ingress", {"app": "prometheus"}, port, namespace="monitoring")
        assert not allows(objects, labels, "ingress", {"app": "prometheus"}, port, namespace="elsewhere")


def test_the_gateway_accepts_connections_from_launchers_and_not_from_workers() -> None:
    objects = build("overlays/gpu")
    for labels in (TASK, REAPER):
        assert allows(objects, labels, "egress", GATEWAY, 9091)
        assert allows(objects, GATEWAY, "ingress", labels, 9091)
    labelled = [{**WORKER, kind.job_label: "x"} for kind in JOB_KINDS]
    for worker in (WORKER, *labelled, *({**each, **TASK} for each in labelled)):
        assert not allows(objects, GATEWAY, "ingress", worker, 9091)
    assert not allows(objects, WORKER, "egress", GATEWAY, 9091)


def test_the_gateway_is_closed_to_workers_even_without_the_other_policies(tmp_path: Path) -> None:
    objects = build_here(tmp_path, {"resources": ["base"], "components": ["components/monitoring"]})
    assert allows(objects, WORKER, "egress", GATEWAY, 9091)
    assert not allows(objects, GATEWAY, "ingress", WORKER, 9091)
    assert allows(objects, GATEWAY, "ingress", TASK, 9091)


def test_a_task_reports_to_kubeflow_pipelines_and_does_not_reach_its_database() -> None:
    assert not allows(build("overlays/gpu"), TASK, "egress", {"app": "mysql"}, 3306, namespace="kubeflow")
    assert allows(build("overlays/gpu"), TASK, "egress", {"app": "metadata-grpc"}, 8080, namespace="kubeflow")
    assert not allows(build("overlays/gpu"), WORKER, "egress", {"app": "metadata-grpc"}, 8080, namespace="kubeflow")


def test_the_policies_select_labels_that_pods_have() -> None:
    labels = {each.name: each.labels for each in templates(build("overlays/gpu"))}
    assert REAPER.items() <= labels["Deployment/peerkd-reaper"].items()
    assert GATEWAY.items() <= labels["Deployment/peerkd-pushgateway"].items()
    inside = {each.name: each.labels for each in templates(build("overlays/kind"))}
    assert MINIO.items() <= inside["Deployment/minio"].items()


def test_the_check_finds_a_pod_that_no_policy_restricts() -> None:
    assert allows(build("base"), WORKER, "egress", METADATA, 80)
