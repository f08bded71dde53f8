import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.policy import check_policy
from tests.unit.launch.doctor.conftest import Answering

JOBS = "/apis/kubeflow.org/v1/namespaces/peerkd/pytorchjobs"
DENIED = "ValidatingAdmissionPolicy 'peerkd-workloads' denied request: A volume of a worker must be (status 403)."
NO_RIGHT = 'User "you" cannot create resource "pytorchjobs" in API group "kubeflow.org" (status 403).'


def test_a_cluster_that_accepts_a_job_with_the_root_of_its_node_has_no_policy(cluster: Answering) -> None:
    cluster.answers[JOBS] = {}
    finding = check_policy(cluster, ClusterConfig(), "s3://peerkd/runs")
    assert finding.ok is False
    assert "manifests/base" in finding.mend
    ((method, path, body),) = cluster.asked
    assert (method, path) == ("POST", JOBS)
    volumes = body["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["volumes"]
    assert {"name": "node", "hostPath": {"path": "/"}} in volumes


@pytest.mark.parametrize(("message", "ok"), [(DENIED, True), (NO_RIGHT, None)])
def test_a_refusal_by_a_policy_passes_and_a_missing_permission_is_unknown(
    cluster: Answering, message: str, ok: bool | None
) -> None:
    cluster.answers[JOBS] = ClusterRefusedError(message, status=403)
    assert check_policy(cluster, ClusterConfig(), "s3://peerkd/runs").ok is ok
