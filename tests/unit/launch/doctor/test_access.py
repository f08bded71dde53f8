from pathlib import Path
from typing import Any

import yaml

from peerkd.launch.doctor.access import LAUNCHER_NEEDS, check_access
from tests.unit.launch.doctor.conftest import Answering

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
MANIFESTS = Path(__file__).parents[4] / "manifests" / "base"


def test_everything_that_the_launcher_does_is_asked_for(cluster: Answering) -> None:
    asked: list[dict[str, str]] = []

    def allow(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body["spec"]["resourceAttributes"])
        return {"status": {"allowed": True}}

    cluster.answers[REVIEWS] = allow
    assert check_access(cluster)[:2] == ("permissions", True)
    assert len(asked) == sum(len(need.verbs) for need in LAUNCHER_NEEDS)
    assert {
        "namespace": "peerkd",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "verb": "get",
    } in asked


def test_what_is_lacking_is_named_as_in_a_role(cluster: Answering) -> None:
    def allow(body: dict[str, Any]) -> dict[str, Any]:
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": asked["verb"] != "delete" and not asked["subresource"]}}

    cluster.answers[REVIEWS] = allow
    finding = check_access(cluster)
    assert finding.ok is False
    assert finding.sentence.endswith(": delete pytorchjobs, get pods/log.")


def test_the_shipped_role_allows_what_is_checked() -> None:
    role = next(
        document
        for document in yaml.safe_load_all((MANIFESTS / "launcher-role.yaml").read_text())
        if document["kind"] == "Role"
    )
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = {(need.resource.group, need.name, verb) for need in LAUNCHER_NEEDS for verb in need.verbs}
    assert needed - allowed == set()
