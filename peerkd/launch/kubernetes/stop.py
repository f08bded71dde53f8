"""Deletion of the jobs that compute an artifact for a run that nobody wants any more."""

from collections.abc import Iterator, Sequence
from typing import Final

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind
from peerkd.launch.kubernetes.workflows import owner_of

_NOT_FOUND: Final = 404


def stop_jobs(
    cluster: Cluster, *, key: str, store: str, run_name: str, kinds: Sequence[JobKind] = JOB_KINDS
) -> list[str]:
    """Delete the jobs that launchers outside of pipelines have created for an artifact, and return their names.

    Args:
        cluster: The cluster, with the namespace of the job.
        key: The key of the artifact.
        store: The address of the store, as the workers know it, in any spelling.
        run_name: The name of the run, for messages.
        kinds: The kinds of jobs.

    Raises:
        ValueError: If there is no such job. If Kubeflow Pipelines has a run whose job computes the artifact, the
            message names this run.
        ClusterRefusedError: If the cluster refuses.
        ClusterUnavailableError: If the API cannot be reached.
    """
    jobs = list(_unfinished_jobs(cluster, key, kinds))
    ours = [job for job in jobs if job.labels.get(names.LABEL_RUN) == names.label_value(names.local_run(store, key))]
    if not ours:
        # The key says nothing about the store, so a job of a pipeline may belong to a run in another store.
        owned = sorted(
            {job.labels.get(names.LABEL_RUN, "") for job in jobs if owner_of(job, namespace=cluster.namespace)}
        )
        hint = (
            f"; Kubeflow Pipelines runs a job for the same artifact: 'peerkd stop {owned[0]}' ends it" if owned else ""
        )
        raise ValueError(
            f"RUN must be a run in progress, got {run_name}: neither this machine nor the namespace "
            f"{cluster.namespace} has a process or a job of it{hint}."
        )
    for job in ours:
        cluster.delete(job.kind.resource, job.name, uid=job.uid)
    return [job.name for job in ours]


def _unfinished_jobs(cluster: Cluster, key: str, kinds: Sequence[JobKind]) -> Iterator[Job]:
    for kind in kinds:
        try:
            items = cluster.list(kind.resource, labels=names.OUR_LABELS)["items"]
        except ClusterRefusedError as error:
            if error.status != _NOT_FOUND:
                raise
            # The cluster does not serve this kind.
            continue
        for job in map(kind.read, items):
            is_there = not (job.has_ended or job.is_being_deleted)
            if is_there and job.annotations.get(names.ANNOTATION_KEY) == key:
                yield job
