"""Whether the cluster enforces what a job may ask for: asked with a job that must be refused. Nothing is made."""

from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.admission import sample_job
from peerkd.launch.doctor.finding import Finding
from peerkd.launch.kubernetes.client import Cluster

_NAME: Final = "admission policy"
_DRY_RUN: Final = [("dryRun", "All")]
_HOST_PATH: Final = {"name": "node", "hostPath": {"path": "/"}}
_DENIED: Final = "denied"
"""Stands in the answers of admission policies and of webhooks that say no."""


def check_policy(cluster: Cluster, settings: ClusterConfig, store: str) -> Finding:
    """Ask whether a job would be taken that mounts the root of its node, as no job may."""
    path = f"/apis/kubeflow.org/v1/namespaces/{cluster.namespace}/pytorchjobs"
    forbidden = settings.model_copy(update={"volumes": (*settings.volumes, _HOST_PATH)})
    try:
        cluster.request("POST", path, query=_DRY_RUN, body=sample_job(forbidden, store))
    except ClusterRefusedError as error:
        if _DENIED in str(error):
            return Finding(_NAME, True, f"A job that mounts the root of its node is refused in {cluster.namespace}.")
        return Finding(
            _NAME,
            None,
            f"This was not checked, since the cluster answers otherwise: {error}",
            "Correct what it names, and run peerkd doctor again.",
        )
    return Finding(
        _NAME,
        False,
        f"The cluster would take a job that mounts the root of its node in {cluster.namespace}: nothing limits what a "
        "run may ask for.",
        "Apply manifests/base, which has the policy; in a shared namespace with components/existing-namespace.",
    )
