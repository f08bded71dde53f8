from typing import Any

import pytest

from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.workflows import owner_reference_for
from tests.fake_kubernetes.operator import NAMESPACE
from tests.fake_kubernetes.server import FakeKubernetes

WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "wf", "uid": "2", "controller": True}


@pytest.mark.parametrize("owners", [[], [{**WORKFLOW, "kind": "Job"}], [{**WORKFLOW, "controller": False}]])
def test_a_pod_that_no_workflow_controls_has_no_owner(
    connection: Cluster, kubernetes: FakeKubernetes, owners: list[dict[str, Any]]
) -> None:
    kubernetes.store.put("pods", NAMESPACE, {"metadata": {"name": "step", "ownerReferences": owners}})
    assert owner_reference_for(connection, "step") is None


def test_the_workflow_owns_the_job_and_its_deletion_is_not_blocked(
    connection: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.store.put("pods", NAMESPACE, {"metadata": {"name": "step", "ownerReferences": [WORKFLOW]}})
    assert owner_reference_for(connection, "step") == {**WORKFLOW, "controller": False, "blockOwnerDeletion": False}


def test_a_pod_that_cannot_be_seen_has_no_owner(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    assert owner_reference_for(connection, "elsewhere") is None
    kubernetes.fail(403)
    assert owner_reference_for(connection, "step") is None


def test_outside_a_cluster_no_request_is_sent(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    assert owner_reference_for(connection, None) is None
    assert kubernetes.requests == []
