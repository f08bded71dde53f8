from typing import Any

import pytest
from kubernetes.client import Configuration

from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.occupancy import list_pods, requests_by_node, requests_of
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.transport import Transport
from tests.fake_kubernetes.server import FakeKubernetes


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, 1.5),
        ({"containers": [container("1"), {}], "overhead": {"cpu": "250m"}}, 1.25),
        ({"containers": [container("1")], "initContainers": [container("3"), container("2")]}, 3.0),
        ({"containers": [container("1")], "initContainers": [container("2", **SIDECAR)]}, 3.0),
        # An init container runs together with the sidecars before it, and not with those after it.
        ({"containers": [container("1")], "initContainers": [container("2", **SIDECAR), container("3")]}, 5.0),
        ({"containers": [container("1")], "initContainers": [container("3"), container("1", **SIDECAR)]}, 3.0),
    ],
)
def test_the_requests_of_a_pod_are_those_of_the_scheduler(spec: dict[str, Any], cpu: float) -> None:
    assert requests_of({"spec": spec}) == {"cpu": cpu}


def test_pods_of_all_namespaces_that_have_not_ended_count() -> None:
    kubernetes = FakeKubernetes()
    cluster = Cluster(Transport(Configuration(host=kubernetes.address)), namespace="peerkd")
    try:
        for namespace, phase, node in (
            ("peerkd", "Running", "a"),
            ("others", "Running", "a"),
            ("others", "Pending", None),
            ("others", "Succeeded", "a"),
            ("others", "Failed", "a"),
        ):
            pod = {"metadata": {"name": phase}, "status": {"phase": phase}, "spec": {"containers": [container("2")]}}
            pod["spec"] |= {"nodeName": node} if node else {}
            kubernetes.store.put("pods", namespace, pod)
        pods = list_pods(cluster)
        assert pods is not None
        requests = requests_by_node(pods)
        assert (requests["a"]["cpu"], requests[""]["cpu"], requests["b"]["cpu"]) == (4.0, 2.0, 0.0)
        kubernetes.fail(403, path="/api/v1/pods")
        assert list_pods(cluster) is None
        kubernetes.fail(400, path="/api/v1/pods")
        with pytest.raises(ClusterRefusedError):
            list_pods(cluster)
    finally:
        kubernetes.stop()
