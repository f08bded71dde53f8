from pathlib import Path
from typing import Any

import yaml

from peerkd.launch.doctor.access import check_access, check_task_access, launcher_permissions, task_permissions
from peerkd.launch.kubernetes.kinds import JOB_KINDS, PYTORCHJOB
from tests.unit.launch.doctor.conftest import Answering

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
LOCAL_REVIEWS = "/apis/authorization.k8s.io/v1/namespaces/peerkd/localsubjectaccessreviews"
MANIFESTS = Path(__file__).parents[4] / "manifests" / "base"


def test_every_permission_of_the_launcher_is_checked(cluster: Answering) -> None:
    asked: list[dict[str, str]] = []

    def allow(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body["spec"]["resourceAttributes"])
        return {"status": {"allowed": True}}

    cluster.answers[REVIEWS] = allow
    assert check_access(cluster, JOB_KINDS)[:2] == ("permissions", True)
    assert len(asked) == sum(len(need.verbs) for need in launcher_permissions(JOB_KINDS))
    assert {
        "namespace": "peerkd",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "verb": "get",
    } in asked


def test_a_missing_permission_is_named_as_in_a_role(cluster: Answering) -> None:
    def allow(body: dict[str, Any]) -> dict[str, Any]:
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": asked["verb"] != "delete" and not asked["subresource"]}}

    cluster.answers[REVIEWS] = allow
    result = check_access(cluster, [PYTORCHJOB])
    assert result.ok is False
    assert result.sentence.endswith(": delete pytorchjobs, get pods/log.")


def test_permissions_of_tasks_are_those_of_their_account(cluster: Answering) -> None:
    result = check_task_access(cluster, "runner", JOB_KINDS)
    assert (result.ok, "The account runner does not exist in peerkd" in result.sentence) == (False, True)
    assert "--service-account" in result.fix
    cluster.answers["/api/v1/namespaces/peerkd/serviceaccounts/runner"] = {"metadata": {}}
    asked: list[dict[str, Any]] = []

    def allow(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body["spec"])
        return {"status": {"allowed": body["spec"]["resourceAttributes"]["resource"] != "workflowtaskresults"}}

    cluster.answers[LOCAL_REVIEWS] = allow
    result = check_task_access(cluster, "runner", JOB_KINDS)
    assert result.sentence.endswith(": create workflowtaskresults, patch workflowtaskresults.")
    assert "Bind runner to" in result.fix
    assert {each["user"] for each in asked} == {"system:serviceaccount:peerkd:runner"}
    assert all("system:serviceaccounts:peerkd" in each["groups"] for each in asked)
    cluster.answers[LOCAL_REVIEWS] = {"status": {"allowed": True}}
    assert check_task_access(cluster, "runner", JOB_KINDS).ok is True
    cluster.forbid(LOCAL_REVIEWS)
    assert check_task_access(cluster, "runner", JOB_KINDS).ok is None


def test_the_shipped_role_allows_what_is_checked() -> None:
    roles = [
        document
        for file in ("launcher-role.yaml", "pipeline-task-role.yaml")
        for document in yaml.safe_load_all((MANIFESTS / file).read_text())
        if document["kind"] == "Role"
    ]
    allowed = {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = {(need.resource.group, need.name, verb) for need in task_permissions(JOB_KINDS) for verb in need.verbs}
    assert needed - allowed == set()
