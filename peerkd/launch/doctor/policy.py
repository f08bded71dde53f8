"""Whether the cluster limits what a job may ask for, by a dry run of a job that must be refused."""

from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.admission import sample_job
from peerkd.launch.doctor.finding import Finding
from peerkd.launch.kubernetes.client import PYTORCHJOBS, Cluster

_NAME: Final = "admission policy"
_HOST_PATH: Final = {"name": "node", "hostPath": {"path": "/"}}
_DENIED: Final = "denied"
"""A word in the answers of admission policies and webhooks that refuse."""


def check_policy(cluster: Cluster, settings: ClusterConfig, store: str) -> Finding:
    """Check that the cluster would refuse a job that mounts the root of its node."""
    forbidden = settings.model_copy(update={"volumes": (*settings.volumes, _HOST_PATH)})
    try:
        cluster.create(PYTORCHJOBS, sample_job(forbidden, store), is_dry_run=True)
    except ClusterRefusedError as error:
        if _DENIED in str(error):
            return Finding(_NAME, True, f"A job that mounts the root of its node is refused in {cluster.namespace}.")
        return Finding(
            _NAME,
            None,
            f"This was not checked, since the cluster refuses the job for another reason: {error}",
            "Correct what it names, and run peerkd doctor again.",
        )
    return Finding(
        _NAME,
        False,
        f"The cluster would take a job that mounts the root of its node in {cluster.namespace}: nothing limits what a "
        "run may ask for.",
        "Apply manifests/base, which has the policy; in a shared namespace, with components/existing-namespace.",
    )
