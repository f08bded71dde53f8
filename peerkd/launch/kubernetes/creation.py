"""Creation of jobs.

A launcher that is started again adopts the job that was created before, so nothing is trained twice.
"""

import contextlib
import copy
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError, JobFailedError, PeerKDError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PODS, Cluster
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind, Prerequisite, name_of, uid_of
from peerkd.launch.kubernetes.lease import lease_now
from peerkd.launch.kubernetes.manifest import JobManifest
from peerkd.launch.kubernetes.signals import DeleteOnSignal
from peerkd.launch.retries import ClusterRetries

_STATUS_CONFLICT: Final = 409
_DELETION_POLL_SECONDS: Final = 0.5
_DELETION_LIMIT_SECONDS: Final = 300.0
_MISSING_POLL_SECONDS: Final = 0.1
_MISSING_LIMIT_SECONDS: Final = 15.0
"""How long the launcher repeats the creation of a job while the cluster says that a prerequisite does not exist."""

_CLOCK_TOLERANCE: Final = timedelta(seconds=60)
"""The largest difference between the clocks of two machines that the launcher allows for."""


class JobCreator:
    """Creates the jobs of one order, one for each attempt."""

    def __init__(
        self,
        cluster: Cluster,
        kind: JobKind,
        manifest: JobManifest,
        *,
        owner: Mapping[str, Any] | None,
        on_signal: DeleteOnSignal,
        retries: Callable[[], ClusterRetries],
        notify: Callable[[str], None],
        requested_at: datetime,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._cluster, self._kind, self._manifest, self._owner = cluster, kind, manifest, owner
        self._on_signal, self._retries, self._notify = on_signal, retries, notify
        self._requested_at, self._sleep = requested_at, sleep
        self._attempt = 1
        self._created_uid: str | None = None
        self._unused: list[Prerequisite] = []

    def create(self) -> Job:
        """Create the order's job, or adopt the existing job of the same name, and return it.

        A job is adopted if it has the same manifest and has not failed. Any other job of this run is deleted first. If
        the cluster refuses the job, whatever was created for it is deleted.

        Raises:
            ValueError: If an object that was not created for this run has the job's name, or if the queue sends the job
                to another cluster.
            ClusterRefusedError: If the cluster refuses the job.
            ClusterUnavailableError: If the API cannot be reached for too long.
            JobFailedError: If pods of an earlier job still exist after some minutes.
        """
        try:
            self._wait_for_leftovers()
            return self._create_or_adopt()
        except (PeerKDError, ValueError) as error:
            self._delete_incomplete(error)
            raise

    def _create_or_adopt(self) -> Job:
        retries, name = self._retries(), str(self._manifest.job["metadata"]["name"])
        num_misses_left = int(_MISSING_LIMIT_SECONDS / _MISSING_POLL_SECONDS)
        while True:
            try:
                created = retries.call(lambda: self._on_signal.create(self._create))
            except ClusterRefusedError as error:
                missing = self._kind.missing_prerequisite
                if missing and missing in str(error) and num_misses_left:
                    # The controller reads from a cache, which may not contain a prerequisite that was just created.
                    num_misses_left -= 1
                    self._sleep(_MISSING_POLL_SECONDS)
                    continue
                if error.status != _STATUS_CONFLICT:
                    raise
            else:
                self._created_uid = None
                self._notify(f"created the job {name}")
                return self._kind.read(created)
            found = retries.call(lambda: self._cluster.get(self._kind.resource, name))
            if found is None:
                continue
            existing = self._kind.read(found)
            if self._may_adopt(existing):
                self._on_signal.set_job(existing.name, existing.uid)
                # The launcher that created the job may have been killed before it completed this.
                retries.call(partial(self._give_prerequisites_to, existing))
                self._created_uid = None
                return existing
            self.remove(existing)

    def remove(self, job: Job) -> None:
        """Delete a job, and wait until the job and its pods no longer exist.

        The number of the attempt increases by one for the job that is created next.

        Raises:
            JobFailedError: If the job still exists after some minutes.
        """
        self._attempt = 1 + int(job.annotations.get(names.ANNOTATION_ATTEMPT, self._attempt))
        retries, resource = self._retries(), self._kind.resource
        policy = self._kind.propagation_policy
        retries.call(lambda: self._cluster.delete(resource, job.name, uid=job.uid, propagation_policy=policy))

        def is_gone() -> bool:
            found = self._cluster.get(resource, job.name)
            # If another launcher has created the next job, the other objects of this name belong to the next job.
            has_successor = found is not None and uid_of(found) != job.uid
            return has_successor or (found is None and not self._has_dependents(job.name))

        self._wait_until(is_gone, job.name)
        self._on_signal.clear_job()

    def _wait_for_leftovers(self) -> None:
        """Wait until an earlier job of this name has left nothing behind.

        A launcher that is stopped has no time to wait for the pods of its job. The pods of a new job would have the
        same host names as these pods, and the new job would get the status of the earlier one.
        """
        name = name_of(self._manifest.job)

        def is_free() -> bool:
            # The job is requested last: what exists may belong to a job that another launcher has just created.
            return not self._has_dependents(name) or self._cluster.get(self._kind.resource, name) is not None

        if not self._retries().call(is_free):
            self._notify(f"waiting until the pods of an earlier job {name} no longer exist")
            self._wait_until(is_free, name)

    def _wait_until(self, is_gone: Callable[[], bool], name: str) -> None:
        retries = self._retries()
        for _ in range(int(_DELETION_LIMIT_SECONDS / _DELETION_POLL_SECONDS)):
            if retries.call(is_gone):
                return
            self._sleep(_DELETION_POLL_SECONDS)
        raise JobFailedError(
            f"The job {name} or one of its pods still exists {_DELETION_LIMIT_SECONDS:.0f} s after its deletion."
        )

    def _has_dependents(self, name: str) -> bool:
        # After a deletion in the background, the objects that the job owns exist for longer than the job.
        if self._kind.propagation_policy == "Foreground":
            return False
        if any(self._cluster.get(resource, name) for resource in self._kind.dependents):
            return True
        return bool(self._cluster.list(PODS, labels=self._kind.pod_labels(name))["items"])

    def _create(self) -> dict[str, Any]:
        manifest = copy.deepcopy(self._manifest.job)
        metadata = manifest["metadata"]
        metadata["annotations"] |= {
            names.ANNOTATION_ATTEMPT: str(self._attempt),
            names.ANNOTATION_LEASE_RENEWED: lease_now(),
        }
        if self._owner:
            metadata["ownerReferences"] = [dict(self._owner)]
            metadata["annotations"][names.ANNOTATION_WORKFLOW] = f"{self._cluster.namespace}/{self._owner['name']}"
        self._create_prerequisites()
        created = self._cluster.create(self._kind.resource, manifest, is_strict=self._kind.has_strict_fields)
        job = self._kind.read(created)
        # From here on, a signal or an error must delete the job.
        self._on_signal.set_job(job.name, job.uid)
        self._created_uid = job.uid
        if job.status.is_managed_elsewhere:
            queue = job.labels.get(names.LABEL_QUEUE)
            raise ValueError(
                f"queue must be a queue of this cluster, got {queue}, which sends jobs to other clusters (MultiKueue): "
                "the launcher could not read the pods and logs of the job there."
            )
        self._give_prerequisites_to(job)
        return created

    def _delete_incomplete(self, error: Exception) -> None:
        """Delete what this launcher has created for a job whose creation it cannot complete.

        The job is deleted before its prerequisites, because the cluster refuses every change of a job whose
        prerequisites do not exist.
        """
        if self._created_uid is not None:
            name = name_of(self._manifest.job)
            with contextlib.suppress(PeerKDError):
                self._cluster.delete(self._kind.resource, name, uid=self._created_uid)
            self._on_signal.clear_job()
        if isinstance(error, ClusterUnavailableError):
            # The job may exist although there was no response. If it does not, the reaper deletes its prerequisites.
            return
        for resource, created in self._unused:
            metadata = created["metadata"]
            with contextlib.suppress(PeerKDError):
                # Another launcher that uses the object has changed it, because its job is now the owner.
                self._cluster.delete(
                    resource, metadata["name"], uid=metadata["uid"], resource_version=metadata["resourceVersion"]
                )
        self._unused.clear()

    def _create_prerequisites(self) -> None:
        for resource, manifest in self._manifest.prerequisites:
            try:
                created = self._cluster.create(resource, manifest, is_strict=self._kind.has_strict_fields)
            except ClusterRefusedError as error:
                if error.status != _STATUS_CONFLICT:
                    raise
            else:
                self._unused.append(Prerequisite(resource, created))

    def _give_prerequisites_to(self, job: Job) -> None:
        """Make a job the owner of its prerequisites, so that they exist exactly as long as the job.

        An existing prerequisite may have belonged to an earlier job. If it has been deleted together with that job, it
        is created again.
        """
        manifest = self._manifest.job
        owner = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "name": job.name,
            "uid": job.uid,
            "blockOwnerDeletion": False,
            "controller": False,
        }
        change = {"metadata": {"ownerReferences": [owner]}}
        for resource, prerequisite in self._manifest.prerequisites:
            if self._cluster.patch(resource, name_of(prerequisite), change) is None:
                metadata = {**prerequisite["metadata"], **change["metadata"]}
                body = {**prerequisite, "metadata": metadata}
                self._cluster.create(resource, body, is_strict=self._kind.has_strict_fields)
        self._unused.clear()

    def _may_adopt(self, job: Job) -> bool:
        expected = self._manifest.job["metadata"]["labels"]
        if not names.is_ours(job.labels) or job.labels.get(names.LABEL_RUN) != expected[names.LABEL_RUN]:
            raise ValueError(
                f"The job {job.name} in the namespace {self._cluster.namespace} must be of this run, but has other "
                "labels; delete or rename it."
            )
        if job.is_being_deleted:
            self._notify(f"the job {job.name} is being deleted; waiting until it no longer exists")
            return False
        if job.labels.get(names.LABEL_SPEC) != expected[names.LABEL_SPEC]:
            self._notify(f"the job {job.name} of this run has another manifest; creating it again")
            return False
        if job.status.has_failed:
            self._notify(f"the job {job.name} failed earlier; creating it again")
            return False
        ended_at = job.status.ended_at
        if job.status.has_succeeded and ended_at is not None and ended_at < self._requested_at - _CLOCK_TOLERANCE:
            # The caller found no artifact under the order's key, so the artifact of this job has been deleted.
            self._notify(f"the job {job.name} succeeded, but its artifact no longer exists; creating it again")
            return False
        self._notify(f"the job {job.name} exists already; waiting for its end")
        return True
