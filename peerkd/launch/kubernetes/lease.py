"""The launcher's word on a job that somebody waits for it. Who finds it unchanged for long may delete the job."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PYTORCHJOBS, Cluster

_RENEWALS_PER_LEASE: Final = 4
_RETRY_SECONDS: Final = 1.0


def lease_now() -> str:
    """Return a new value of the lease."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Lease:
    """Renews a job's lease in a thread of its own, four times in its length, until it is released."""

    def __init__(
        self,
        cluster: Cluster,
        job: str,
        *,
        uid: str,
        lease_seconds: float,
        now: Callable[[], str] = lease_now,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._cluster, self._job, self._uid, self._now = cluster, job, uid, now
        self._pause_seconds = lease_seconds / _RENEWALS_PER_LEASE
        self._retry_seconds = min(retry_seconds, self._pause_seconds)
        self._is_released = threading.Event()

    def __enter__(self) -> "Lease":
        threading.Thread(target=self._keep, daemon=True, name="lease").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_released.set()

    def _keep(self) -> None:
        annotations = {}
        pause_seconds = 0.0
        while not self._is_released.wait(pause_seconds):
            annotations[names.ANNOTATION_LEASE_RENEWED] = self._now()
            # With its uid in the patch, a later job of this name is not touched.
            metadata = {"uid": self._uid, "annotations": annotations}
            try:
                # A job that is not found is tried again: an API server that has just started finds none for a moment,
                # and a running job would be deleted if its lease ended.
                self._cluster.patch(PYTORCHJOBS, self._job, {"metadata": metadata})
                pause_seconds = self._pause_seconds
            except ClusterRefusedError as error:
                if error.status == 409:
                    return
                pause_seconds = self._pause_seconds
            except ClusterUnavailableError:
                # As soon as the API is back, so that nobody takes the job for abandoned.
                pause_seconds = self._retry_seconds
