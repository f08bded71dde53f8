"""The rights of each account are narrow, have no wildcards, and are exactly those that the code needs."""

from collections.abc import Mapping
from typing import Any

import pytest

from peerkd.launch.doctor.access import launcher_permissions
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from tests.manifests.built import OVERLAYS, build, of_kind

Rights = set[tuple[str, str, str]]

LAUNCHER: Rights = {
    (permission.resource.group, permission.name, verb)
    for permission in launcher_permissions(JOB_KINDS)
    for verb in permission.verbs
}
PIPELINE_TASK: Rights = {
    ("argoproj.io", "workflowtaskresults", "create"),
    ("argoproj.io", "workflowtaskresults", "patch"),
    ("", "configmaps/kfp-launcher", "get"),
    ("", "secrets/mlpipeline-minio-artifact", "get"),
}
REAPER: Rights = {
    *(("argoproj.io", "workflows", verb) for verb in ("get", "list", "watch")),
    *((kind.resource.group, kind.resource.plural, verb) for kind in JOB_KINDS for verb in ("list", "delete")),
    *(
        (resource.group, resource.plural, verb)
        for kind in JOB_KINDS
        for resource in kind.prerequisite_resources
        for verb in ("list", "delete")
    ),
    *(("kueue.x-k8s.io", "workloads", verb) for verb in ("list", "patch")),
    ("", "pods", "list"),
}
ROLES = {"peerkd-launcher": LAUNCHER, "peerkd-pipeline-task": PIPELINE_TASK, "peerkd-reaper": REAPER}
ACCOUNTS = {
    "peerkd-launcher": {"peerkd-launcher", "peerkd-pipeline-task"},
    "peerkd-reaper": {"peerkd-reaper"},
    "peerkd-worker": set(),
}
"""The roles of each account."""


def rights_of(role: Mapping[str, Any]) -> Rights:
    return {
        (group, f"{resource}/{name}" if name else resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_role_allows_exactly_the_calls_of_the_code(overlay: str) -> None:
    assert {name: rights_of(role) for name, role in of_kind(build(overlay), "Role").items()} == ROLES


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_account_has_exactly_its_roles(overlay: str) -> None:
    objects = build(overlay)
    had: dict[str, set[str]] = {name: set() for name in of_kind(objects, "ServiceAccount")}
    for binding in of_kind(objects, "RoleBinding").values():
        assert binding["roleRef"]["kind"] == "Role"
        for subject in binding["subjects"]:
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", binding["metadata"]["namespace"])
            had[subject["name"]].add(binding["roleRef"]["name"])
    assert {name: roles for name, roles in had.items() if name in ACCOUNTS} == ACCOUNTS
    assert all(not roles for name, roles in had.items() if name not in ACCOUNTS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_right_has_a_wildcard_or_covers_the_cluster(overlay: str) -> None:
    objects = build(overlay)
    assert {each["kind"] for each in objects}.isdisjoint({"ClusterRole", "ClusterRoleBinding"})
    assert "*" not in {part for role in of_kind(objects, "Role").values() for each in rights_of(role) for part in each}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_launchers_account_mounts_a_token_by_default(overlay: str) -> None:
    accounts = of_kind(build(overlay), "ServiceAccount")
    unasked = {name for name, each in accounts.items() if each.get("automountServiceAccountToken") is not False}
    assert unasked == {"peerkd-launcher"}
