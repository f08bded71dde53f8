"""Checks that use dry runs to find out which jobs the cluster admits. A dry run creates nothing.

The cluster must accept the jobs of a launcher, and refuse a job that could control the node.
"""

import os
from collections.abc import Iterator
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.check import CheckResult, check, not_allowed
from peerkd.launch.kubernetes.client import NODES, PODS, SERVICE_ACCOUNTS, Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import JobKind, Prerequisite
from peerkd.launch.kubernetes.manifest import manifest_for, pod_template_for, trainer_image
from peerkd.launch.order import StageOrder

_STATUS_FORBIDDEN: Final = 403
_POLICY: Final = "admission policy"
_HOST_PATH: Final = {"name": "node", "hostPath": {"path": "/"}}
_DENIED: Final = "denied"
"""A word in the message of a refusal. It shows that an admission policy or a webhook has refused the request."""


def sample_order(store: str) -> StageOrder:
    """Return an order with placeholder values, from which the checks make the jobs of their dry runs."""
    return StageOrder(stage="distill_pairs", config_json="{}", store=store, inputs={}, key="distill_pairs/doctor")


def check_job(cluster: Cluster, settings: ClusterConfig, store: str, kind: JobKind) -> CheckResult:
    """Check that the cluster accepts a job of this kind.

    The cluster validates the job against the schema of this kind, and applies all webhooks and admission policies to
    the job.
    """
    accepts = kind.missing_prerequisite
    results = [
        _try(
            cluster,
            "job",
            resource,
            body,
            "a job",
            action=f"create {body['kind']}s",
            accepts=accepts,
            is_strict=kind.has_strict_fields,
        )
        for resource, body in _objects(settings, store, kind)
    ]
    return next((result for result in results if not result.ok), results[-1])


def check_worker(cluster: Cluster, settings: ClusterConfig, store: str, kind: JobKind) -> CheckResult:
    """Check that the cluster accepts the pod of a worker.

    The cluster checks the security settings, the quota, the service account and the priority class of the pod.
    """
    template = pod_template_for(sample_order(store), settings, kind=kind)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "peerkd-doctor"},
        "spec": {**template["spec"], "restartPolicy": "Never"},
    }
    return _try(
        cluster, "worker", PODS, pod, "a worker", action="create pods, a permission that only the controller needs"
    )


def check_policy(cluster: Cluster, settings: ClusterConfig, store: str, kind: JobKind) -> CheckResult:
    """Check that the cluster refuses a job that mounts the root of its node."""
    forbidden = settings.model_copy(update={"volumes": (*settings.volumes, _HOST_PATH)})
    refusal = None
    for resource, manifest in _objects(forbidden, store, kind):
        refusal = refusal or _refusal(
            cluster, resource, manifest, accepts=kind.missing_prerequisite, is_strict=kind.has_strict_fields
        )
    if refusal is not None:
        if _DENIED in str(refusal):
            return CheckResult(
                _POLICY, True, f"The cluster refuses a job that mounts the root of its node in {cluster.namespace}."
            )
        return CheckResult(
            _POLICY,
            None,
            f"This was not checked, because the cluster refuses the job for another reason: {refusal}",
            "Correct what the message names, and run peerkd doctor again.",
        )
    return CheckResult(
        _POLICY,
        False,
        f"The cluster accepts a job that mounts the root of its node in {cluster.namespace}: nothing limits what a run "
        "may request.",
        "Apply manifests/base, which contains the policy, or components/existing-namespace in a shared namespace.",
    )


@check("service account", action="get service accounts")
def check_service_account(cluster: Cluster, settings: ClusterConfig) -> CheckResult:
    """Check that the workers' service account exists.

    If it does not, the cluster creates no pod and reports no error.
    """
    if cluster.get(SERVICE_ACCOUNTS, settings.service_account):
        return CheckResult("service account", True, f"The workers' account {settings.service_account} exists.")
    return CheckResult(
        "service account",
        False,
        f"The workers' account {settings.service_account} does not exist in {cluster.namespace}: no pod would start.",
        "Apply manifests/base, or set service_account in the cluster's settings.",
    )


@check("image", action="list nodes")
def check_image(cluster: Cluster, settings: ClusterConfig) -> CheckResult:
    """Check that the reference of the workers' image has a digest or a tag other than ``latest``.

    The result also says how many nodes have the image already.
    """
    image = trainer_image(settings, os.environ)
    name, _, tag = image.rpartition("/")[2].partition("@" if "@" in image else ":")
    if not name or not tag or tag == "latest":
        return CheckResult(
            "image",
            False,
            f"The trainer's image must have a digest, or a tag other than latest, got {image}.",
            "Set image in the cluster's settings, as in image=registry.example/peerkd-trainer:0.1.0.",
        )
    nodes = cluster.list(NODES)["items"]
    num_with_image = sum(_has(node, image) for node in nodes)
    if num_with_image:
        return CheckResult("image", True, f"{image} is on {num_with_image} of {len(nodes)} nodes.")
    if settings.image_pull_policy == "Never":
        return CheckResult(
            "image",
            False,
            f"{image} is on none of {len(nodes)} nodes, and no node may pull it.",
            "Load the image onto the nodes, or set image_pull_policy=IfNotPresent.",
        )
    return CheckResult(
        "image",
        None,
        f"{image} is on none of {len(nodes)} nodes yet; the first worker pulls it.",
        "Make sure that the nodes can pull the image, or load it onto them before the first run.",
    )


def _has(node: dict[str, Any], image: str) -> bool:
    return any(image in (each.get("names") or []) for each in node["status"].get("images") or [])


def _objects(settings: ClusterConfig, store: str, kind: JobKind) -> Iterator[Prerequisite]:
    """Yield the objects that a launcher creates for a job: its prerequisites, and the job itself."""
    made = manifest_for(sample_order(store), settings, kind=kind)
    yield from made.prerequisites
    yield Prerequisite(kind.resource, made.job)


def _refusal(
    cluster: Cluster, resource: Resource, body: dict[str, Any], *, accepts: str = "", is_strict: bool = False
) -> ClusterRefusedError | None:
    """Return the error with which the cluster refuses an object in a dry run; None if it accepts the object.

    If ``accepts`` is not empty, a refusal whose message contains this text counts as acceptance.
    """
    try:
        cluster.create(resource, body, is_dry_run=True, is_strict=is_strict)
    except ClusterRefusedError as error:
        return None if accepts and accepts in str(error) else error
    return None


def _try(
    cluster: Cluster,
    name: str,
    resource: Resource,
    body: dict[str, Any],
    what: str,
    *,
    action: str,
    accepts: str = "",
    is_strict: bool = False,
) -> CheckResult:
    error = _refusal(cluster, resource, body, accepts=accepts, is_strict=is_strict)
    if error is None:
        return CheckResult(name, True, f"The cluster accepts {what} in {cluster.namespace}.")
    # Missing permissions and refusals of policies both have the status 403; only the former contain these words.
    if error.status == _STATUS_FORBIDDEN and " cannot create resource " in str(error):
        return not_allowed(name, action)
    return CheckResult(name, False, f"The cluster does not accept {what}: {error}", "Correct what it names.")
