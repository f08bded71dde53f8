"""Every pod of the manifests, and every worker of a job, satisfies "restricted" and our additional rules."""

from copy import deepcopy
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig, resolve_cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.order import StageOrder
from tests.manifests.built import MANIFESTS, OVERLAYS, build, of_kind, templates
from tests.manifests.restricted import breaches, shortcomings


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_satisfies_restricted(overlay: str) -> None:
    found = {template.name: list(breaches(template.spec)) for template in templates(build(overlay))}
    assert "Deployment/peerkd-reaper" in found
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_satisfies_our_additional_rules(overlay: str) -> None:
    found = {template.name: list(shortcomings(template.spec)) for template in templates(build(overlay))}
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_reaper_has_a_token(overlay: str) -> None:
    with_token = {each.name for each in templates(build(overlay)) if each.spec["automountServiceAccountToken"]}
    assert with_token == {"Deployment/peerkd-reaper"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_labelled_as_one_of_peerkd(overlay: str) -> None:
    """``peerkd doctor`` assumes that a pod without such a label belongs to someone else."""
    ours = {("app.kubernetes.io/name", "peerkd"), ("app.kubernetes.io/part-of", "peerkd")}
    assert [each.name for each in templates(build(overlay)) if not ours & set(each.labels.items())] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_names_an_existing_account_priority_and_claims(overlay: str) -> None:
    objects = build(overlay)
    accounts, classes = of_kind(objects, "ServiceAccount"), of_kind(objects, "PriorityClass")
    claims, maps = of_kind(objects, "PersistentVolumeClaim"), of_kind(objects, "ConfigMap")
    for template in templates(objects):
        assert template.spec.get("serviceAccountName", "default") in {*accounts, "default"}, template.name
        assert template.spec.get("priorityClassName", "peerkd-launcher") in classes, template.name
        for volume in template.spec.get("volumes") or []:
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
            assert volume.get("configMap", {}).get("name") in {None, *maps}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_namespace_enforces_restricted(overlay: str) -> None:
    objects = build(overlay)
    spaces = of_kind(objects, "Namespace")
    assert {each.namespace for each in templates(objects)} == set(spaces)
    for space in spaces.values():
        levels = {mode: space["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] for mode in MODES}
        assert levels == dict.fromkeys(MODES, "restricted")


MODES = ("enforce", "audit", "warn")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_reaches_a_port_of_a_pod(overlay: str) -> None:
    objects = build(overlay)
    for name, service in of_kind(objects, "Service").items():
        selector = service["spec"]["selector"].items()
        (pod,) = (each for each in templates(objects) if selector <= each.labels.items())
        ports = {port["name"] for container in pod.spec["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name


def worker_of(kind: JobKind, settings: ClusterConfig) -> dict[str, Any]:
    """Return the spec of the pods of a job."""
    order = StageOrder(
        stage="distill_pairs", config_json="{}", store="s3://peerkd/runs", inputs={}, key="distill_pairs/1"
    )
    made = manifest_for(order, settings, kind=kind, environment={})
    if kind is PYTORCHJOB:
        spec = made.job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    else:
        ((_, runtime),) = made.prerequisites
        spec = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("kind", JOB_KINDS, ids=lambda kind: kind.name)
def test_a_worker_satisfies_restricted_and_our_additional_rules(kind: JobKind) -> None:
    spec = worker_of(kind, ClusterConfig(image="registry.example/peerkd/trainer:1"))
    assert [*breaches(spec), *shortcomings(spec)] == []


@pytest.mark.parametrize("kind", JOB_KINDS, ids=lambda kind: kind.name)
def test_a_worker_on_infiniband_gets_its_network_and_satisfies_restricted(kind: JobKind) -> None:
    file = MANIFESTS / "examples/infiniband/cluster.yaml"
    settings = resolve_cluster(environment={"PEERKD_CLUSTER_FILE": str(file)})
    spec = worker_of(kind, settings)
    assert list(breaches(spec)) == []
    (container,) = spec["containers"]
    expected = {"cpu": "64", "memory": "768Gi", "nvidia.com/gpu": "8", "rdma/hca": "1"}
    assert container["resources"] == {"requests": expected, "limits": expected}
    assert {"medium": "Memory", "sizeLimit": "64Gi"} in [each.get("emptyDir") for each in spec["volumes"]]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert (given["NCCL_IB_HCA"], given["NCCL_SOCKET_IFNAME"]) == ("mlx5", "eth0")
    # The level restricted would refuse IPC_LOCK.
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


GOOD: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "containers": [
        {
            "name": "main",
            "image": "registry.example/a/b:1",
            "resources": {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}
PLACES = [
    ("hostNetwork", True),
    ("securityContext.runAsNonRoot", False),
    ("securityContext.runAsUser", 0),
    ("securityContext.seccompProfile", {}),
    ("volumes", [{"name": "node", "hostPath": {"path": "/"}}]),
    ("containers.0.securityContext.allowPrivilegeEscalation", True),
    ("containers.0.securityContext.capabilities", {}),
    ("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    ("containers.0.securityContext.privileged", True),
    ("containers.0.ports", [{"containerPort": 1, "hostPort": 1}]),
]
BEYOND = [
    ("containers.0.securityContext.readOnlyRootFilesystem", False),
    ("containers.0.image", "b:latest"),
    ("containers.0.image", "registry.example:5000/a/b"),
    ("containers.0.resources", {}),
    ("securityContext.runAsUser", None),
    ("enableServiceLinks", True),
]


def changed(place: str, value: Any) -> dict[str, Any]:
    spec = deepcopy(GOOD)
    *path, last = place.split(".")
    inner: Any = spec
    for part in path:
        inner = inner[int(part) if part.isdecimal() else part]
    inner[last] = value
    return spec


def test_the_check_accepts_a_valid_pod() -> None:
    assert [*breaches(GOOD), *shortcomings(GOOD)] == []


@pytest.mark.parametrize(("place", "value"), PLACES)
def test_the_check_finds_a_violation_of_restricted(place: str, value: Any) -> None:
    assert list(breaches(changed(place, value)))


@pytest.mark.parametrize(("place", "value"), BEYOND)
def test_the_check_finds_a_violation_of_our_additional_rules(place: str, value: Any) -> None:
    assert list(shortcomings(changed(place, value)))
