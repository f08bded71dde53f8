"""Making a job, or taking on the one that is there: a launcher that is started again must not train twice."""

import copy
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, JobFailedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PYTORCHJOBS, Cluster
from peerkd.launch.kubernetes.jobs import (
    Job,
    ended_at,
    has_failed,
    has_succeeded,
    is_being_deleted,
    name_of,
    uid_of,
)
from peerkd.launch.kubernetes.lease import lease_now
from peerkd.launch.kubernetes.stopping import StopSwitch
from peerkd.launch.patience import Patience

_STATUS_CONFLICT: Final = 409
_GONE_POLL_SECONDS: Final = 0.5
_GONE_LIMIT_SECONDS: Final = 300.0
_SLACK: Final = timedelta(seconds=60)
"""Between the clocks of two machines."""


class Maker:
    """Makes the jobs of one order, one after another if need be."""

    def __init__(
        self,
        cluster: Cluster,
        manifest: Mapping[str, Any],
        *,
        owner: Mapping[str, Any] | None,
        switch: StopSwitch,
        patience: Callable[[], Patience],
        say: Callable[[str], None],
        asked_at: datetime,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        self._cluster, self._manifest, self._owner = cluster, manifest, owner
        self._switch, self._patience, self._say, self._asked_at, self._rest = switch, patience, say, asked_at, rest
        self._attempt = 1

    def make(self) -> dict[str, Any]:
        """Return a job that does what the manifest says: a new one, or the one that is there.

        Raises:
            ValueError: If something that is not ours has the job's name.
            ClusterRefusedError: If the cluster refuses the job.
            ClusterUnavailableError: If the API cannot be reached for too long.
        """
        patience = self._patience()
        while True:
            try:
                made = patience.insist(lambda: self._switch.make(self._create))
            except ClusterRefusedError as error:
                if error.status != _STATUS_CONFLICT:
                    raise
            else:
                self._say(f"job {name_of(made)} is made")
                return made
            there = patience.insist(lambda: self._cluster.get(PYTORCHJOBS, str(self._manifest["metadata"]["name"])))
            if there is None:
                continue
            if self._is_to_be_taken_on(there):
                self._switch.guard(name_of(there), uid_of(there))
                return there
            self.remove(there)

    def remove(self, job: Job) -> None:
        """Delete a job, wait until it and its pods are gone, and count one attempt more.

        Raises:
            JobFailedError: If it does not go.
        """
        self._attempt = 1 + int((job["metadata"].get("annotations") or {}).get(names.ANNOTATION_ATTEMPT, self._attempt))
        name, uid, patience = name_of(job), uid_of(job), self._patience()
        patience.insist(lambda: self._cluster.delete(PYTORCHJOBS, name, uid=uid, foreground=True))
        for _ in range(int(_GONE_LIMIT_SECONDS / _GONE_POLL_SECONDS)):
            there = patience.insist(lambda: self._cluster.get(PYTORCHJOBS, name))
            if there is None or uid_of(there) != uid:
                self._switch.unguard()
                return
            self._rest(_GONE_POLL_SECONDS)
        raise JobFailedError(f"The job {name} was deleted {_GONE_LIMIT_SECONDS:.0f} s ago and is still there.")

    def _create(self) -> dict[str, Any]:
        manifest = copy.deepcopy(dict(self._manifest))
        metadata = manifest["metadata"]
        metadata["annotations"] |= {
            names.ANNOTATION_ATTEMPT: str(self._attempt),
            names.ANNOTATION_LEASE_RENEWED: lease_now(),
        }
        if self._owner:
            metadata["ownerReferences"] = [dict(self._owner)]
            metadata["annotations"][names.ANNOTATION_WORKFLOW] = f"{self._cluster.namespace}/{self._owner['name']}"
        return self._cluster.create(PYTORCHJOBS, manifest)

    def _is_to_be_taken_on(self, there: Job) -> bool:
        name = name_of(there)
        wanted, labels = self._manifest["metadata"]["labels"], there["metadata"].get("labels") or {}
        if not names.is_ours(there) or labels.get(names.LABEL_RUN) != wanted[names.LABEL_RUN]:
            raise ValueError(
                f"The job {name} in the namespace {self._cluster.namespace} must be of this run, but its labels say "
                "otherwise; delete or rename it."
            )
        if is_being_deleted(there):
            self._say(f"job {name} is being deleted; waiting until it is gone")
            return False
        if labels.get(names.LABEL_SPEC) != wanted[names.LABEL_SPEC]:
            self._say(f"job {name} is of this run but was asked for something else; it is made anew")
            return False
        if has_failed(there):
            self._say(f"job {name} failed earlier; it is made anew")
            return False
        ended = ended_at(there)
        if has_succeeded(there) and ended is not None and ended < self._asked_at - _SLACK:
            # Whoever asks has looked for the artifact first: what that job made is no longer there.
            self._say(f"job {name} succeeded, but what it made is gone; it is made anew")
            return False
        self._say(f"job {name} is there already; its end is waited for")
        return True
