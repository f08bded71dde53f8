"""Jobs in racks of simulated nodes, which Kueue places by the shipped topology, and jobs with further resources.

The tests need Kueue in the cluster, and the command that PEERKD_E2E_GPU_POOL names (``pools.COMMAND_VARIABLE``).
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.config.topology import TopologyConfig
from peerkd.launch.doctor.queue import check_topology
from peerkd.launch.kubernetes.client import connect
from peerkd.launch.kubernetes.kinds.kind import JobStatus
from peerkd.launch.kubernetes.names import LABEL_JOB_OF_WORKLOAD
from tests.e2e import kubectl as kube
from tests.e2e import pools
from tests.e2e.kind import KIND, RESOURCE

TEAM = pools.TEAMS[0]
RACKS = {"rack-a": 1, "rack-b": 2}
"""The number of nodes of each rack. Each node has room for one worker."""

NETWORK = "rdma/hca"
RACK = "peerkd.io/rack"
NAMESPACE = pools.namespace_of(TEAM)


@pytest.fixture(scope="module")
def racks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Racks with nodes, each of which offers one network, and the shipped queues with a share of networks."""
    if reason := pools.missing():
        pytest.skip(reason)
    pools.remove(*RACKS)
    if kube.kubectl("get", "nodes", "-l", "peerkd.io/pool", "-o", "name"):
        pytest.skip("the cluster has pools of its own")
    objects = pools.queues(tmp_path_factory.mktemp("overlay"), components=("kueue", "spot", "topology"))
    for queue in objects:
        for group in queue["spec"]["resourceGroups"] if queue["kind"] == "ClusterQueue" else ():
            group["coveredResources"].append(NETWORK)
            for flavor in group["flavors"]:
                flavor["resources"].append({"name": NETWORK, "nominalQuota": "8"})
    try:
        kube.apply(*pools.namespaces())
        kube.wait_until(lambda: pools.are_taken(objects), seconds=120, what="Kueue's webhooks")
        for rack, num_nodes in RACKS.items():
            pools.add_rack(rack, num_nodes)
        for node in kube.items("nodes", namespace="default", labels=RACK):
            _offer(node["metadata"]["name"])
        yield
    finally:
        pools.remove(*RACKS)


def _offer(node: str) -> None:
    """Let a node offer one network."""
    status = {"status": {name: {NETWORK: "1"} for name in ("capacity", "allocatable")}}
    kube.kubectl("patch", "node", node, "--subresource", "status", "--type=merge", "-p", json.dumps(status))


def send(index: int, *, workers: int, seconds: float, **settings: Any) -> str:
    """Create a job, and return its name."""
    objects = pools.job(TEAM, index, seconds=seconds, workers=workers, **settings)
    pools.send([objects])
    return str(objects[-1]["metadata"]["name"])


def rack_level(*, required: bool) -> TopologyConfig:
    """Return the settings of a job whose workers should be in one rack."""
    return TopologyConfig(level=RACK, required=required)


def status_of(job: str) -> JobStatus:
    """Return the status of a job."""
    found = kube.get(RESOURCE, job, namespace=NAMESPACE)
    assert found is not None
    return KIND.read_status(found)


def racks_of(job: str, *, workers: int) -> list[str]:
    """Wait until all workers of a job have nodes, and return the racks of the workers."""

    def placed() -> list[str]:
        pods = kube.items("pods", namespace=NAMESPACE, labels=f"{KIND.job_label}={job}")
        nodes = [pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")]
        return nodes if len(nodes) == workers else []

    nodes = kube.wait_until(placed, seconds=90, what=f"{workers} workers of {job} on nodes")
    assert len(set(nodes)) == workers
    return sorted(pools.pool_of_node(node) for node in nodes)


def workload_of(job: str) -> dict[str, Any]:
    """Return the Workload of a job."""
    found = kube.get(RESOURCE, job, namespace=NAMESPACE)
    assert found is not None
    labels = f"{LABEL_JOB_OF_WORKLOAD}={found['metadata']['uid']}"
    (workload,) = kube.items("workloads.kueue.x-k8s.io", namespace=NAMESPACE, labels=labels)
    return workload


def reason_to_wait(job: str) -> str:
    """Return the message of Kueue about a job without a share."""
    conditions = workload_of(job).get("status", {}).get("conditions", [])
    reserved = (each for each in conditions if (each["type"], each["status"]) == ("QuotaReserved", "False"))
    return str(next(reserved, {}).get("message", ""))


@pytest.mark.usefixtures("racks")
def test_a_job_that_requires_one_rack_gets_one_and_the_next_one_waits_for_it() -> None:
    near = rack_level(required=True)
    first = send(1, workers=2, seconds=3600, topology=near)
    assert racks_of(first, workers=2) == ["rack-b", "rack-b"]
    second = send(2, workers=2, seconds=5, topology=near)
    kube.wait_until(lambda: "topology" in reason_to_wait(second), seconds=30, what="Kueue's reason")
    assert status_of(second).is_suspended
    kube.kubectl("delete", RESOURCE, first, "-n", NAMESPACE, "--cascade=background")
    assert racks_of(second, workers=2) == ["rack-b", "rack-b"]
    kube.wait_until(lambda: status_of(second).has_succeeded, seconds=60, what="the end of the second job")


@pytest.mark.usefixtures("racks")
def test_a_job_that_prefers_one_rack_is_divided_if_no_rack_is_large_enough() -> None:
    job = send(3, workers=3, seconds=5, topology=rack_level(required=False))
    assert racks_of(job, workers=3) == ["rack-a", "rack-b", "rack-b"]
    kube.wait_until(lambda: status_of(job).has_succeeded, seconds=60, what="the end of the job")


@pytest.mark.usefixtures("racks")
def test_workers_get_further_resources_and_the_queue_counts_them() -> None:
    job = send(4, workers=2, seconds=5, topology=rack_level(required=True), extra_resources={NETWORK: "1"})
    racks_of(job, workers=2)
    pods = kube.items("pods", namespace=NAMESPACE, labels=f"{KIND.job_label}={job}")
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert [container["resources"][name][NETWORK] for name in ("requests", "limits")] == ["1", "1"]
    (assigned,) = workload_of(job)["status"]["admission"]["podSetAssignments"]
    assert assigned["resourceUsage"][NETWORK] == "2"
    kube.wait_until(lambda: status_of(job).has_succeeded, seconds=60, what="the end of the job")


@pytest.mark.usefixtures("racks")
@pytest.mark.parametrize(("level", "is_known"), [(RACK, True), ("peerkd.io/no-such-level", False)])
def test_the_doctor_knows_the_levels_of_the_queue(level: str, is_known: bool) -> None:
    settings = ClusterConfig(queue=TEAM, topology=TopologyConfig(level=level))
    checked = check_topology(connect(namespace=NAMESPACE), settings)
    assert checked is not None
    assert checked.ok is is_known
