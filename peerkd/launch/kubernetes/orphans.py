"""Deletion of the prerequisites of jobs that do not exist, such as TrainingRuntimes.

A launcher creates the prerequisites of a job before the job. If the launcher is killed in between, a prerequisite is
left behind. It has no owner, so Kubernetes does not delete it with any job.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind, name_of, uid_of
from peerkd.launch.kubernetes.unchanged import UnchangedTimes

ORPHAN_SECONDS: Final = 300.0
"""The time after which a prerequisite without an owner and without a job is deleted."""

_MAX_STEP_SECONDS: Final = 150.0
_STATUS_NOT_FOUND: Final = 404


class OrphanRemover:
    """Deletes prerequisites that have been without an owner and without a job for ``ORPHAN_SECONDS``."""

    def __init__(
        self,
        cluster: Cluster,
        kinds: Sequence[JobKind],
        *,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._log = cluster, log
        self._resources = tuple(dict.fromkeys(each for kind in kinds for each in kind.prerequisite_resources))
        self._without_job = UnchangedTimes(clock=clock, max_step_seconds=_MAX_STEP_SECONDS)
        self._last_logged = ""

    def run_once(self, jobs: Iterable[Job]) -> None:
        """Find the prerequisites without an owner and without a job, and delete those found for ``ORPHAN_SECONDS``.

        Args:
            jobs: All jobs of the namespace.

        Raises:
            ClusterUnavailableError: If the API cannot be reached.
        """
        prefixes = tuple(f"{job.name}-" for job in jobs)
        try:
            orphans = [
                (resource, found)
                for resource in self._resources
                for found in self._list(resource)
                if not found["metadata"].get("ownerReferences") and not name_of(found).startswith(prefixes)
            ]
            self._without_job.observe({uid_of(found): True for _, found in orphans})
            for resource, found in orphans:
                if self._without_job.seconds(uid_of(found)) >= ORPHAN_SECONDS:
                    self._delete(resource, found)
            self._last_logged = ""
        except ClusterRefusedError as error:
            if str(error) != self._last_logged:
                self._log(f"objects that killed launchers have left behind cannot be deleted: {error}")
            self._last_logged = str(error)

    def reset(self) -> None:
        """Forget for how long each prerequisite has been without a job."""
        self._without_job.reset()

    def _list(self, resource: Resource) -> list[dict[str, Any]]:
        try:
            return list(self._cluster.list(resource, labels=names.OUR_LABELS)["items"])
        except ClusterRefusedError as error:
            if error.status == _STATUS_NOT_FOUND:
                # A cluster need not serve all kinds.
                return []
            raise

    def _delete(self, resource: Resource, found: dict[str, Any]) -> None:
        # A launcher that uses the object after all has changed it, because its job is now the owner.
        version = found["metadata"].get("resourceVersion")
        if self._cluster.delete(resource, name_of(found), uid=uid_of(found), resource_version=version):
            self._log(f"deleted {name_of(found)} ({resource.plural}), because its job does not exist.")
