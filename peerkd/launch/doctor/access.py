"""What the launcher does to a cluster, and whether whoever asks may."""

from typing import Final, NamedTuple

from peerkd.launch.doctor.finding import Finding, check
from peerkd.launch.kubernetes.client import EVENTS, PODS, PYTORCHJOBS, Cluster, Resource


class Need(NamedTuple):
    """One thing that is done."""

    resource: Resource
    verbs: tuple[str, ...]
    subresource: str = ""

    @property
    def name(self) -> str:
        """As in a Role."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


LAUNCHER_NEEDS: Final = (
    Need(PYTORCHJOBS, ("create", "get", "list", "watch", "patch", "delete")),
    Need(PODS, ("get", "list", "watch")),
    Need(PODS, ("get",), "log"),
    Need(EVENTS, ("list",)),
)
"""Of whoever runs ``peerkd run --backend kubernetes``, and of the ServiceAccount of a KFP run."""


@check("permissions", asked="ask what you may do")
def check_access(cluster: Cluster) -> Finding:
    """Ask the cluster of each thing that the launcher does whether you may."""
    lacking = [f"{verb} {need.name}" for need in LAUNCHER_NEEDS for verb in need.verbs if not _may(cluster, need, verb)]
    if not lacking:
        return Finding("permissions", True, f"You may do in {cluster.namespace} all that the launcher does.")
    return Finding(
        "permissions",
        False,
        f"You may not do all that the launcher does in {cluster.namespace}: {', '.join(lacking)}.",
        "Have yourself bound to the Role peerkd-launcher of manifests/base.",
    )


def _may(cluster: Cluster, need: Need, verb: str) -> bool:
    asked = {
        "namespace": cluster.namespace,
        "group": need.resource.group,
        "resource": need.resource.plural,
        "subresource": need.subresource,
        "verb": verb,
    }
    answer = cluster.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        },
    )
    return bool(answer["status"]["allowed"])
