"""The lease of a job, which shows that a launcher waits for the job. A job with an expired lease may be deleted."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds.kind import Job

_RENEWALS_PER_LEASE: Final = 4
_RETRY_SECONDS: Final = 1.0
_STATUS_CONFLICT: Final = 409


def lease_now() -> str:
    """Return the current time as the value of the annotation that renews a lease."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class LeaseRenewer:
    """A context manager whose thread renews the lease of a job four times in each period of ``lease_seconds``."""

    def __init__(
        self,
        cluster: Cluster,
        job: Job,
        *,
        lease_seconds: float,
        now: Callable[[], str] = lease_now,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._cluster, self._job, self._now = cluster, job, now
        self._pause_seconds = lease_seconds / _RENEWALS_PER_LEASE
        self._retry_seconds = min(retry_seconds, self._pause_seconds)
        self._is_released = threading.Event()

    def __enter__(self) -> "LeaseRenewer":
        threading.Thread(target=self._renew, daemon=True, name="lease").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_released.set()

    def _renew(self) -> None:
        pause_seconds = 0.0
        while not self._is_released.wait(pause_seconds):
            # With a UID in the patch, a later job of the same name does not change.
            metadata = {"uid": self._job.uid, "annotations": {names.ANNOTATION_LEASE_RENEWED: self._now()}}
            try:
                # A job that is not found is tried again: an API server that has just started finds none for a moment,
                # and a running job would be deleted if its lease expired.
                self._cluster.patch(self._job.kind.resource, self._job.name, {"metadata": metadata})
                pause_seconds = self._pause_seconds
            except ClusterRefusedError as error:
                if error.status == _STATUS_CONFLICT:
                    return
                pause_seconds = self._pause_seconds
            except ClusterUnavailableError:
                # The lease is renewed as soon as the API is back, so that it does not expire.
                pause_seconds = self._retry_seconds
