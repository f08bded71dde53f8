"""Checks of the permissions that a launcher and the tasks of pipelines need on a cluster."""

from collections.abc import Sequence
from typing import Any, Final

from peerkd.launch.doctor.check import CheckResult, check
from peerkd.launch.kubernetes.client import EVENTS, PODS, SERVICE_ACCOUNTS, Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import JobKind, Permission

TASK_ACCOUNT: Final = "peerkd-launcher"
"""The service account under which the tasks of a pipeline run. The folder manifests/base defines it."""

_PODS_AND_EVENTS: Final = (
    Permission(PODS, ("get", "list", "watch")),
    Permission(PODS, ("get",), "log"),
    Permission(EVENTS, ("list",)),
)
_ARGO: Final = Permission(Resource("argoproj.io", "v1alpha1", "workflowtaskresults"), ("create", "patch"))


def launcher_permissions(kinds: Sequence[JobKind]) -> tuple[Permission, ...]:
    """Return the permissions that a user needs to run ``peerkd run --backend kubernetes``."""
    return (*(permission for kind in kinds for permission in kind.permissions), *_PODS_AND_EVENTS)


def task_permissions(kinds: Sequence[JobKind]) -> tuple[Permission, ...]:
    """Return the permissions that the service account of a pipeline's tasks needs.

    The pod of a task has a launcher, which creates jobs, and Argo's executor, which reports the result of the task.
    """
    return (*launcher_permissions(kinds), _ARGO)


@check("permissions", action="ask what you may do")
def check_access(cluster: Cluster, kinds: Sequence[JobKind]) -> CheckResult:
    """Check that the user has each permission that a launcher needs."""
    lacking = _lacking(cluster, launcher_permissions(kinds), account="")
    if not lacking:
        return CheckResult("permissions", True, f"You have the permissions of the launcher in {cluster.namespace}.")
    return CheckResult(
        "permissions",
        False,
        f"You lack permissions of the launcher in {cluster.namespace}: {', '.join(lacking)}.",
        "Ask an administrator to bind you to the Role peerkd-launcher of manifests/base.",
    )


@check("permissions of tasks", action="ask what service accounts may do (create localsubjectaccessreviews)")
def check_task_access(cluster: Cluster, account: str, kinds: Sequence[JobKind]) -> CheckResult:
    """Check that the service account ``account`` exists and has each permission that the tasks of pipelines need."""
    name = "permissions of tasks"
    if cluster.get(SERVICE_ACCOUNTS, account) is None:
        return CheckResult(
            name,
            False,
            f"The account {account} does not exist in {cluster.namespace}: tasks of pipelines cannot run as it.",
            "Apply manifests/base to this namespace, or name the account that runs use with --service-account.",
        )
    lacking = _lacking(cluster, task_permissions(kinds), account=account)
    if not lacking:
        return CheckResult(name, True, f"The account {account} has the permissions of tasks in {cluster.namespace}.")
    return CheckResult(
        name,
        False,
        f"The account {account} lacks permissions of tasks in {cluster.namespace}: {', '.join(lacking)}.",
        f"Bind {account} to the Roles peerkd-launcher and peerkd-pipeline-task of manifests/base.",
    )


def _lacking(cluster: Cluster, permissions: Sequence[Permission], *, account: str) -> list[str]:
    return [
        f"{verb} {permission.name}"
        for permission in permissions
        for verb in permission.verbs
        if not _is_allowed(cluster, permission, verb, account)
    ]


def _is_allowed(cluster: Cluster, permission: Permission, verb: str, account: str) -> bool:
    """Return whether a service account of the namespace has a permission.

    If ``account`` is empty, return whether the user of this process has the permission.
    """
    namespace = cluster.namespace
    spec: dict[str, Any] = {
        "resourceAttributes": {
            "namespace": namespace,
            "group": permission.resource.group,
            "resource": permission.resource.plural,
            "subresource": permission.subresource,
            "verb": verb,
        }
    }
    root, kind = "/apis/authorization.k8s.io/v1", "SelfSubjectAccessReview"
    path, metadata = f"{root}/selfsubjectaccessreviews", {}
    if account:
        kind, metadata = "LocalSubjectAccessReview", {"namespace": namespace}
        path = f"{root}/namespaces/{namespace}/localsubjectaccessreviews"
        spec["user"] = f"system:serviceaccount:{namespace}:{account}"
        spec["groups"] = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    answer = cluster.request("POST", path, body=body)
    return bool(answer["status"]["allowed"])
