"""The choice of the kind of the jobs: the kind that the settings name, or the first kind that the cluster has."""

from peerkd.errors import ClusterUnavailableError
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.kinds.kind import JobKind


def find_kind(name: str) -> JobKind | None:
    """Return the kind that a value of ``job_kind`` names; None for ``auto``, which depends on the cluster."""
    return next((kind for kind in JOB_KINDS if kind.name.lower() == name), None)


def choose_kind(name: str, cluster: Cluster) -> JobKind:
    """Return the kind that a value of ``job_kind`` selects on a cluster.

    If the name is ``auto``, the result is the first kind in ``JOB_KINDS`` that the cluster serves. Only then is a
    request sent.

    Raises:
        ClusterRefusedError: If the cluster refuses to say which resources it serves.
        ClusterUnavailableError: If the API cannot be reached, or serves no kind of jobs. An API server that has just
            started may not serve custom resources yet.
    """
    named = find_kind(name)
    if named is not None:
        return named
    served = next((kind for kind in JOB_KINDS if cluster.serves(kind.resource)), None)
    if served is None:
        names = " or ".join(f"{kind.name}s" for kind in JOB_KINDS)
        raise ClusterUnavailableError(f"The cluster must serve {names}, but it serves neither.")
    return served
