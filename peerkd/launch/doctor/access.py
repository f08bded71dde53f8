"""Permissions that the launcher and the tasks of pipelines need, and whether they have them."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from peerkd.launch.doctor.finding import Finding, check
from peerkd.launch.kubernetes.client import EVENTS, PODS, PYTORCHJOBS, SERVICE_ACCOUNTS, Cluster, Resource


class Need(NamedTuple):
    """Verbs that must be allowed on one resource."""

    resource: Resource
    verbs: tuple[str, ...]
    subresource: str = ""

    @property
    def name(self) -> str:
        """The name of the resource in a Role, as in pods/log."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


TASK_ACCOUNT: Final = "peerkd-launcher"
"""The service account of manifests/base that the tasks of a pipeline run as."""

LAUNCHER_NEEDS: Final = (
    Need(PYTORCHJOBS, ("create", "get", "list", "watch", "patch", "delete")),
    Need(PODS, ("get", "list", "watch")),
    Need(PODS, ("get",), "log"),
    Need(EVENTS, ("list",)),
)
"""Permissions of a person who runs ``peerkd run --backend kubernetes``, and of the service account of a KFP run."""

TASK_NEEDS: Final = (
    *LAUNCHER_NEEDS,
    Need(Resource("argoproj.io", "v1alpha1", "workflowtaskresults"), ("create", "patch")),
)
"""Permissions of the account of a pipeline's tasks, for their launcher and for Argo's executor in each pod."""


@check("permissions", asked="ask what you may do")
def check_access(cluster: Cluster) -> Finding:
    """Check that you have the permissions of the launcher, by asking the cluster about each."""
    lacking = _lacking(cluster, LAUNCHER_NEEDS, account="")
    if not lacking:
        return Finding("permissions", True, f"You may do everything in {cluster.namespace} that the launcher does.")
    return Finding(
        "permissions",
        False,
        f"You lack permissions of the launcher in {cluster.namespace}: {', '.join(lacking)}.",
        "Have yourself bound to the Role peerkd-launcher of manifests/base.",
    )


@check("permissions of tasks", asked="ask what service accounts may do (create localsubjectaccessreviews)")
def check_task_access(cluster: Cluster, account: str) -> Finding:
    """Check that the account of a pipeline's tasks has the permissions that they need."""
    name = "permissions of tasks"
    if cluster.get(SERVICE_ACCOUNTS, account) is None:
        return Finding(
            name,
            False,
            f"The account {account} does not exist in {cluster.namespace}: tasks of pipelines cannot run as it.",
            "Apply manifests/base to this namespace, or name the account that runs use with --service-account.",
        )
    lacking = _lacking(cluster, TASK_NEEDS, account=account)
    if not lacking:
        return Finding(name, True, f"The account {account} may do everything in {cluster.namespace} that tasks do.")
    return Finding(
        name,
        False,
        f"The account {account} lacks permissions of tasks in {cluster.namespace}: {', '.join(lacking)}.",
        f"Bind {account} to the Roles peerkd-launcher and peerkd-pipeline-task of manifests/base.",
    )


def _lacking(cluster: Cluster, needs: Sequence[Need], *, account: str) -> list[str]:
    return [f"{verb} {need.name}" for need in needs for verb in need.verbs if not _may(cluster, need, verb, account)]


def _may(cluster: Cluster, need: Need, verb: str, account: str) -> bool:
    """Return whether an account of the namespace may do something; without an account, whether you may."""
    namespace = cluster.namespace
    asked: dict[str, Any] = {
        "resourceAttributes": {
            "namespace": namespace,
            "group": need.resource.group,
            "resource": need.resource.plural,
            "subresource": need.subresource,
            "verb": verb,
        }
    }
    root, kind = "/apis/authorization.k8s.io/v1", "SelfSubjectAccessReview"
    path, metadata = f"{root}/selfsubjectaccessreviews", {}
    if account:
        kind, metadata = "LocalSubjectAccessReview", {"namespace": namespace}
        path = f"{root}/namespaces/{namespace}/localsubjectaccessreviews"
        asked["user"] = f"system:serviceaccount:{namespace}:{account}"
        asked["groups"] = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": asked}
    answer = cluster.request("POST", path, body=body)
    return bool(answer["status"]["allowed"])
